"""What a contender does when it is its turn, and what is measured on the way there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from processors.batching import BatchPlan
from processors.features import Features
from processors.loading import Batch
from tools.bench.flops import TRAINING, model_flops, needed_flops
from tools.bench.host_reads import HostReads
from tools.bench.huggingface import HuggingFace
from tools.bench.matmul import MatmulPeak
from tools.bench.ours import Ours
from tools.bench.sample import sample_size, take_sample
from tools.bench.spec import Contender, Setting
from tools.bench.startup import Startup
from tools.machine.compilation import Compilation

_NARROW = 8  # the width where it does not matter


class Engine(Protocol):
    """A contender's way of training and evaluating."""

    compilation: Compilation | None

    def epoch(self) -> list[BatchPlan]: ...
    def batches(self, plans: Sequence[BatchPlan]) -> Iterator[Batch]: ...
    def gradients(self, batch: Batch) -> Tensor: ...
    def update(self) -> None: ...
    def logits(self, batch: Batch) -> Tensor: ...


class Session:
    """A contender that trains or evaluates: it warms up once and then takes turns.

    A turn is a pass over a sample of its epoch's batches, all things timed that such a pass takes: the
    making of the batches too.
    """

    def __init__(self, contender: Contender, setting: Setting) -> None:
        self._contender, self._setting = contender, setting
        self._device = setting.device
        features = Features.load(Path(setting.features, f"{contender.group}.safetensors"))
        self._lengths = features.lengths
        system = {"ours": Ours, "hf": HuggingFace}[contender.system]
        self._engine: Engine = system(contender, setting, features)
        self._epoch = self._engine.epoch()
        if contender.width:
            # The narrower ones take more steps, so that every turn is long enough to be timed.
            steps = max(1, setting.sample * _NARROW // contender.width)
            self._sample = [self._epoch[step % len(self._epoch)] for step in range(steps)]
        else:
            widths = np.array([plan.width for plan in self._epoch])
            tokens = np.array([self._lengths[plan.rows].sum() for plan in self._epoch])
            sizes = np.array([len(plan.rows) for plan in self._epoch])
            count = sample_size(widths, setting.sample)
            self._sample = [self._epoch[i] for i in take_sample(widths, tokens, sizes, count)]

    def prepare(self) -> dict[str, Any]:
        """Warm up, and return what does not change from turn to turn.

        The widest batch of the epoch is among the untimed ones: it decides on the peak memory.
        """
        self._device.reset_peak_memory()
        widest = max(self._epoch, key=lambda plan: plan.width)
        measured: dict[str, Any] = {}
        if self._engine.compilation:  # for all widths of a turn, and nothing may look into it
            self._pass([*self._sample, widest])
            measured["compile_seconds"] = self._engine.compilation.seconds
        else:
            counts: list[int] = []
            with HostReads(self._device.torch_device) as reads:
                self._pass(self._sample[:1] * 2, True, lambda: counts.append(reads.count))
            # Not what starts a loader or an optimizer.
            measured["host_reads"] = counts[1] - counts[0]
            self._pass([widest])
        return {
            **measured,
            "epoch": self._figures(self._epoch),
            "turn": self._figures(self._sample),
        }

    def turn(self) -> dict[str, Any]:
        """Pass over the sample once."""
        began = time.perf_counter()
        result = self._pass(self._sample)
        seconds = time.perf_counter() - began
        if not np.isfinite(result):
            raise ValueError("the loss is no finite number: the training diverged")
        return {
            "seconds": seconds,
            "mean": result,
            "update_seconds": self._time_update() if self._contender.trains else None,
            "peak_memory": self._device.peak_memory(),
        }

    def _pass(
        self,
        plans: list[BatchPlan],
        narrow: bool = False,
        after_batch: Callable[[], None] = lambda: None,
    ) -> float:
        """Train or evaluate on ``plans``; returns the mean of the losses or the logits."""
        results = []
        for batch in self._engine.batches(plans):
            if narrow:
                batch = _narrow(batch)
            if self._contender.trains:
                results.append(self._engine.gradients(batch))
                self._engine.update()
            else:
                # In inference mode a dispatch mode does not see what the host reads.
                with torch.no_grad() if narrow else torch.inference_mode():
                    results.append(self._engine.logits(batch))
            after_batch()
        self._device.synchronize()
        with torch.inference_mode():
            # By way of NumPy, so that this read is not counted among a step's.
            mean = torch.stack([result.float().mean() for result in results]).mean()
            return mean.cpu().numpy().item()

    def _time_update(self) -> float:
        """Return the seconds of clipping and the optimizer: the same after a batch of any width."""
        batch = next(iter(self._engine.batches(self._sample[:1])))
        # A new width would be compiled.
        self._engine.gradients(batch if self._engine.compilation else _narrow(batch))
        self._device.synchronize()
        began = time.perf_counter()
        self._engine.update()
        self._device.synchronize()
        return time.perf_counter() - began

    def _figures(self, plans: list[BatchPlan]) -> dict[str, float]:
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


def _narrow(batch: Batch) -> Batch:
    return {k: v[:, :_NARROW] if v.ndim == 2 else v for k, v in batch.items()}


def open_session(contender: Contender, setting: Setting) -> Session | MatmulPeak | Startup:
    """Return what ``contender`` is to be in its process."""
    if contender.system == "matmul":
        return MatmulPeak(setting)
    if contender.system == "startup":
        return Startup(setting)
    return Session(contender, setting)
