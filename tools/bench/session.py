"""What a contender does when it is its turn, and what is measured on the way there."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from processors.batching import BatchPlan
from processors.features import Features
from tools.bench.contenders import Contender
from tools.bench.data import take_sample
from tools.bench.flags import Setting
from tools.bench.flops import TRAINING, model_flops, needed_flops
from tools.bench.host_reads import HostReads
from tools.bench.huggingface import HuggingFace
from tools.bench.ours import Ours

_NARROW = 8  # Static batches of this width make --sample steps a turn, wider ones fewer.


class Session:
    """A contender that trains or evaluates: it warms up once and then takes turns.

    A turn is a pass over a sample of its epoch's batches, all things timed that such a pass takes: the
    making of the batches too.

    Attributes:
        engine: what trains or evaluates.
        epoch: the batches that the sample stands for.
    """

    def __init__(self, contender: Contender, setting: Setting, features: Features) -> None:
        self._contender, self._setting = contender, setting
        self._device, self._lengths = setting.device, features.lengths
        system = Ours if contender.system == "ours" else HuggingFace
        self.engine = system(contender, setting, features)
        if contender.width:
            self.epoch = [BatchPlan(np.arange(len(features)), contender.width)]
            self._sample = self.epoch * max(1, setting.flags.sample * _NARROW // contender.width)
        else:
            self.epoch = self.engine.epoch
            self._sample = take_sample(self.epoch, self._lengths, setting.flags.sample)
        # It serves for what is the same after a batch of any size; another size would be compiled, though.
        first = self._sample[0]
        self._small = first if self.engine.compilation else replace(first, rows=first.rows[:2])

    def prepare(self) -> dict[str, Any]:
        """Warm up, and return what does not change from turn to turn.

        The widest batch of the epoch is among the untimed ones: it decides on the peak memory.
        """
        self._device.reset_peak_memory()
        widest = max(self.epoch, key=lambda plan: plan.width)
        measured: dict[str, Any] = {}
        # It compiles for all widths of a turn, and nothing may look into it.
        if self.engine.compilation:
            for _ in range(1 if self._device.is_shared else 2):
                self._run([*self._sample, widest])
            measured["compile_seconds"] = self.engine.compilation.seconds
        else:
            self._run([self._small])  # This starts the optimizer.
            counts = []
            for steps in (1, 2):  # Their difference is without what starts or ends a pass.
                with HostReads(self._device.torch_device) as reads:
                    self._run([self._small] * steps, seen=True)
                counts.append(reads.count)
            measured["host_reads"] = counts[1] - counts[0]
            self._run([widest])
            # An accelerator loads kernels for each shape, which may become a graph when it comes again.
            for _ in range(0 if self._device.is_shared else 2):
                self._run(self._sample)
        return {**measured, "epoch": self._work(self.epoch), "turn": self._work(self._sample)}

    def turn(self) -> dict[str, Any]:
        """Pass over the sample once."""
        began = time.perf_counter()
        mean = self._run(self._sample)
        seconds = time.perf_counter() - began
        if not np.isfinite(mean):
            raise ValueError("the loss is no finite number: the training diverged")
        return {
            "seconds": seconds,
            "mean": mean,
            "update_seconds": self._time_update() if self._contender.trains else None,
            "peak_memory": self._device.peak_memory(),
        }

    def _run(self, plans: list[BatchPlan], seen: bool = False) -> float:
        """Train or evaluate on ``plans``; returns the mean of the losses or the logits.

        Args:
            seen: leave out the inference mode, in which a dispatch mode does not see what the host reads.
        """
        if self._contender.trains:
            results = []
            for step in self.engine.steps(plans):
                results.append(self.engine.forward_backward(step))
                self.engine.update()
        else:
            # An evaluation of ours goes without that mode, for the sake of the weights that it casts.
            ours = self._contender.system == "ours"
            with torch.no_grad() if seen or ours else torch.inference_mode():
                results = list(self.engine.logits(plans))
        self._device.synchronize()
        with torch.no_grad():
            return torch.stack([result.float().mean() for result in results]).mean().item()

    def _time_update(self) -> float:
        """Return the seconds of clipping and the optimizer."""
        for step in self.engine.steps([self._small]):
            self.engine.forward_backward(step)
        self._device.synchronize()
        began = time.perf_counter()
        self.engine.update()
        self._device.synchronize()
        return time.perf_counter() - began

    def _work(self, plans: list[BatchPlan]) -> dict[str, float]:
        """Return how much work ``plans`` are."""
        lengths = np.concatenate([self._lengths[plan.rows] for plan in plans])
        config, factor = self._setting.config, TRAINING if self._contender.trains else 1
        return {
            "batches": len(plans),
            "samples": len(lengths),
            "tokens": int(lengths.sum()),
            "padded_tokens": sum(plan.width * len(plan.rows) for plan in plans),
            "model_flops": factor * model_flops(config, lengths),
            "needed_flops": factor * needed_flops(config, lengths),
        }
