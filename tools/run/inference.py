"""How models that are scored run: their forward pass, plain or by CUDA graphs, and the layers it takes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import BatchPlan
from processors.loading import Batch, batch_shape
from tools.cli.errors import first_line
from tools.machine.device import Device
from tools.machine.step_graphs import InputBuffers, StepGraphs
from tools.precision.scoring import own_casts
from tools.run.decision import decide, untried

logger = logging.getLogger(__name__)

# A graph for a shape of batch pays if a set has so many of them.
COMMON = 3


class Forward:
    """A model's forward pass over the batches of sets, one set after the other.

    Attributes:
        model: in evaluation mode when it is called.
    """

    def __init__(self, model: AlbertForSequenceClassification) -> None:
        self.model = model

    def begin(self, plans: list[BatchPlan], lengths: np.ndarray) -> None:
        """Prepare for the batches of a set, whose N examples have these lengths, [N]."""

    def end(self) -> None:
        """Say what is to be said of the set's batches."""

    def __call__(self, batch: Batch) -> Tensor:
        """Return the model's outputs for a batch without labels: [B, num_labels]."""
        return self.model(**batch).logits


class GraphedForward(Forward):
    """As :class:`Forward`, with a CUDA graph for each shape of batch for which one pays.

    That is a shape that comes :data:`COMMON` times in a set, or comes in a set that comes again: one on
    which a model in training is scored. Graphs read the weights where they lie, and so a model that
    is trained in place is scored as it is by then. They are dropped where weights have moved. What the
    host decides in a forward pass is as it was when a graph was recorded: the shift of the classifier's
    input, and whether the layers are fused, must stay.

    Args:
        make_graphs: returns graphs of which none is recorded.

    Attributes:
        graphs: those recorded so far.
    """

    def __init__(
        self, model: AlbertForSequenceClassification, make_graphs: Callable[[], StepGraphs]
    ) -> None:
        super().__init__(model)
        self._make_graphs = make_graphs
        self.graphs = make_graphs()
        self._inputs, self._outputs = InputBuffers(), {}
        self._places = self._weights()
        self._sets: set[Hashable] = set()
        self._paying: set[Hashable] = set()
        self._told = 0

    def begin(self, plans: list[BatchPlan], lengths: np.ndarray) -> None:
        counts = Counter(batch_shape(plan, lengths) for plan in plans)
        this_set = frozenset(counts.items())
        comes_again = this_set in self._sets
        self._sets.add(this_set)
        self._paying = {shape for shape, n in counts.items() if comes_again or n >= COMMON}
        if (places := self._weights()) != self._places:
            self.graphs, self._places, self._told = self._make_graphs(), places, 0

    def end(self) -> None:
        if self.graphs.count > self._told:
            self._told = self.graphs.count
            logger.info(
                "CUDA graphs to score with: %d shapes of batches recorded in %.1f s",
                self._told,
                self.graphs.seconds,
            )

    def __call__(self, batch: Batch) -> Tensor:
        ids = batch["input_ids"]
        pays = (*ids.shape, "attention_mask" in batch) in self._paying
        shape, buffers = self._inputs.fill(batch)
        if shape not in self._outputs:
            size = len(ids), self.model.config.num_labels
            self._outputs[shape] = torch.empty(size, device=ids.device)
        outputs = self._outputs[shape]
        piece = partial(self._run, buffers, outputs)
        try:
            self.graphs.run(shape, piece, pays)
        except (RuntimeError, MemoryError) as error:
            self.graphs.make_room(error)
        else:
            return outputs.clone()
        piece()  # What failed holds no memory any more, as the error is gone.
        return outputs.clone()

    def _run(self, batch: Batch, outputs: Tensor) -> None:
        with own_casts():
            outputs.copy_(self.model(**batch).logits)

    def _weights(self) -> list[int]:
        """Return where the weights lie."""
        return [parameter.data_ptr() for parameter in self.model.parameters()]


class Inference:
    """Gives the forward pass of each model that is scored; graphs, if any, are those of the last one.

    Args:
        device: which has the models.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._flag = ""
        self._last: GraphedForward | None = None

    @property
    def has_graphs(self) -> bool:
        """Whether models run by CUDA graphs."""
        return bool(self._flag)

    def take_graphs(self, cuda_graphs: str) -> None:
        """Have models run by CUDA graphs from here on, as ``--cuda_graphs`` says: auto or on."""
        self._flag = f"--cuda_graphs {cuda_graphs}"

    def of(self, model: AlbertForSequenceClassification) -> Forward:
        """Return the forward pass of ``model``, which is on the device."""
        if not self._flag:
            return Forward(model)
        if self._last is None or self._last.model is not model:
            self._last = None  # Its graphs make room first.
            self._last = GraphedForward(model, self._make_graphs)
        return self._last

    def _make_graphs(self) -> StepGraphs:
        return StepGraphs(self._device.graph_recorder(), self._do_without)

    def _do_without(self, error: Exception) -> None:
        """Say so, once: what a training has come to is not given up for how it is scored."""
        logger.info(
            "%s: none to score with from here on, for the device's memory does not hold them: %s",
            self._flag,
            first_line(error),
        )
        self._flag, self._last = "", None


def prepare_to_score(
    model: AlbertForSequenceClassification,
    device: Device,
    dtype: torch.dtype,
    inference: Inference,
    cuda_graphs: str,
    fused_kernels: str,
    alone: bool,
) -> None:
    """Have a model that no training comes before take fused layers and graphs, as flags ask for.

    Args:
        dtype: of the products.
        cuda_graphs, fused_kernels: off, auto or on.
        alone: whether no other process scores with this one.

    Raises:
        UsageError: they are asked for, and cannot be.
    """
    if cuda_graphs != "off":
        obstacle = untried(cuda_graphs, alone) or device.why_no_graphs()
        if decide("cuda_graphs", cuda_graphs, obstacle, device.has_cuda):
            inference.take_graphs(cuda_graphs)
    if fused_kernels == "off":
        return
    encoder = model.albert.encoder
    layer = encoder.albert_layer_groups[0].albert_layers[0]
    obstacle = untried(fused_kernels, alone) or device.why_no_fused_kernels(layer, dtype)
    encoder.fused = decide("fused_kernels", fused_kernels, obstacle, device.has_cuda)
