"""A trained model's outputs for every example of a set."""

from __future__ import annotations

import numpy as np
import torch

from callback.progressbar import ProgressBar
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import plan_evaluation
from processors.features import Features
from processors.loading import load_batches
from tools.device import Device
from tools.distributed import Processes


@torch.inference_mode()
def compute_logits(
    model: AlbertForSequenceClassification,
    features: Features,
    device: Device,
    batch_size: int,
    max_length: int,
    *,
    policy: str = "bucket",
    processes: Processes | None = None,
    workers: int = 0,
) -> np.ndarray:
    """Run the model over every example once: [N, num_labels] float32, in the order of ``features``.

    Examples of like length share a batch. With several processes each fills in its share of the rows,
    and the sum over the processes is the whole; without, no progress is shown.

    Args:
        policy: one of :data:`processors.batching.PADDING_POLICIES`.

    Raises:
        ValueError: an output is no finite number.
    """
    alone = processes is None
    processes = processes or Processes()
    model.eval()
    plans = plan_evaluation(
        features.lengths, batch_size, max_length, policy, processes.rank, processes.world_size
    )
    progress = ProgressBar("Evaluating", len(plans), enabled=processes.is_main and not alone)
    logits = torch.zeros(len(features), model.config.num_labels, device=device.torch_device)
    batches = load_batches(features, plans, device.torch_device, workers)
    for plan, batch in zip(plans, batches, strict=True):
        batch.pop("labels", None)
        rows = torch.from_numpy(plan.rows).to(device.torch_device, non_blocking=True)
        logits[rows] = model(**batch).logits
        progress.advance()
    progress.close()
    result = processes.sum(logits).cpu().numpy()
    if not np.isfinite(result).all():
        raise ValueError("the model's outputs are no finite numbers: its training diverged")
    return result
