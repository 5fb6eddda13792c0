"""A small training that a test drives step by step, with graphs or without."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from helpers import small_training
from tape import TapeDevice

from callback.optimization import Lamb
from processors.batching import TrainingPlan
from processors.glue import TASKS
from processors.loading import load_steps
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.run.flags import TrainingFlags
from tools.run.training import build_state

STEPS = 9
O2 = {"fp16": True, "fp16_opt_level": "O2", "amp_backend": "native"}
PRECISIONS = {
    "fp32": {},
    "bf16": {"bf16": True},
    "bf16, O2": {"bf16": True, "fp16_opt_level": "O2"},
    "O1": {"fp16": True, "amp_backend": "native"},
    "O2": O2,
    "O2, fixed scale": O2 | {"loss_scale": 128.0},
}
# A planted overflow in these steps, for precisions with a scaled loss.
OVERFLOWS = (4, 5)


class Training:
    """A small training, step by step, with graphs or without."""

    def __init__(
        self, tokenizer, cuda_graphs, task="sst-2", accumulation=1, padding="bucket",
        device=None, **flags
    ):  # fmt: skip
        torch.manual_seed(0)
        model, self.features = small_training(TASKS[task], tokenizer)
        with_dropout(model)
        self.flags = TrainingFlags(
            batch_size=8, learning_rate=1e-3, max_steps=STEPS, cuda_graphs=cuda_graphs,
            gradient_accumulation_steps=accumulation, **flags)  # fmt: skip
        self.plan = TrainingPlan(
            self.features.lengths, batch_size=8, gradient_accumulation_steps=accumulation,
            max_steps=STEPS, seed=3, max_seq_length=64, padding=padding)  # fmt: skip
        runtime = Runtime(device or TapeDevice("cpu"), Processes())
        model = runtime.device.place(model)
        self.state = build_state(self.flags, runtime, model, STEPS, {})
        self.device = runtime.device.torch_device
        self.losses, self.rates, self.norms = [], [], []

    def go_on(self, until=STEPS, overflows=()):
        done = self.state.global_step
        plans = [step for epoch in range(9) for step in self.plan.epoch(epoch)][done:until]
        for step in load_steps(plans, self.features, self.device, done):
            if step.global_step in overflows:
                step = replace(step, loss_weights=[math.inf] * len(step.loss_weights))
            self.losses.append(self.state.forward_backward(step))
            self.state.update()
            self.rates.append(self.state.learning_rate)  # It may be on the device.
            self.norms.append(self.state.grad_norm)
        return self

    @property
    def weights(self):
        return [parameter.detach() for parameter in self.state.fp32_model().parameters()]


def with_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.1


def assert_same(graphed, plain):
    equal = {"atol": 0, "rtol": 0, "equal_nan": True}
    torch.testing.assert_close(graphed.losses, plain.losses, **equal)
    torch.testing.assert_close(graphed.weights, plain.weights, **equal)
    torch.testing.assert_close(graphed.norms, plain.norms, **equal)
    assert rates_of(graphed) == pytest.approx(rates_of(plain), rel=1e-6)


def rates_of(training):
    return [float(rate) for rate in training.rates]


def _stale_batch(training, patch):
    """Each graph keeps the batch that it was recorded with."""
    fill, first = training.state._inputs.fill, {}

    def stale(batch):
        shape, buffers = fill(batch)
        for name, tensor in first.setdefault(shape, copy.deepcopy(buffers)).items():
            buffers[name].copy_(tensor)
        return shape, buffers

    patch.setattr(training.state._inputs, "fill", stale)


def _stale_mask(training, patch):
    """Each graph keeps the mask that it was recorded with, and the rest of the batch comes in."""
    fill, first = training.state._inputs.fill, {}

    def stale(batch):
        shape, buffers = fill(batch)
        if (mask := buffers.get("attention_mask")) is not None:
            mask.copy_(first.setdefault(shape, mask.clone()))
        return shape, buffers

    patch.setattr(training.state._inputs, "fill", stale)


def _stale_rate(training, patch):
    """The host gives the rate, and the graph keeps the one that it was recorded with."""
    schedule, rates = training.state._schedule, iter(range(STEPS))

    def on_the_host():
        for group in training.state.precision.optimizer.param_groups:
            group["lr"] = 1e-3 * next(rates) / STEPS

    patch.setattr(schedule, "set_rate", on_the_host)


def _dropped_skip(training, patch):
    """The optimizer takes no notice of an overflow."""
    update = Lamb._update

    def never_skip(self, weights, group):
        self.found_inf = torch.zeros_like(self.found_inf)
        update(self, weights, group)

    patch.setattr(Lamb, "_update", never_skip)


FAULTS = {
    "a stale batch": _stale_batch,
    "a stale mask": _stale_mask,
    "a stale rate": _stale_rate,
    "a dropped skip": _dropped_skip,
}
