"""The loss of a classifier's outputs: of one class, of any number of labels, or of a number."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def classifier_loss(
    logits: Tensor,
    labels: Tensor,
    is_multi_label: bool,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean loss of [B, C] logits, computed in fp32: a scalar.

    Args:
        labels: with ``is_multi_label`` [B, C], 0 and 1 for each label, whose loss is the binary
            cross-entropy. Else [B]: numbers where C is 1, with the squared error, or integer classes, with
            the cross-entropy.
        label_smoothing: of classes, the share of each target that goes to all alike.
        class_weights: [C], by which the loss of an example of each class is multiplied.
    """
    logits = logits.float()
    if is_multi_label:
        return F.binary_cross_entropy_with_logits(logits, labels.float())
    if logits.shape[1] == 1:
        return F.mse_loss(logits.squeeze(-1), labels.float())
    if class_weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
    return (losses * class_weights[labels].float()).mean()
