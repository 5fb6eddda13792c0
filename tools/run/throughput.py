"""How fast a training was: by the references' definition, and from end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tools.machine.compilation import Compilation
from tools.machine.device import Device

_WARMUP_STEPS = 6


class FpsCounter:
    """Counts samples of training steps over the time they take, warm-up left out.

    FPS = batch per process × processes / mean step time, a step being forward, backward and optimizer.
    The first six steps of an epoch are left out; in an epoch of six or fewer, all but the last. So is the
    time in which torch compiles. The device is synchronized only where the clock starts and stops, so
    counting does not slow it down.

    Args:
        device: the device that computes.
        steps: how many steps this epoch will have.
        compilation: what compiles the network, if anything does.
    """

    def __init__(self, device: Device, steps: int, compilation: Compilation | None = None) -> None:
        self._device, self._compilation = device, compilation
        self._skip = min(_WARMUP_STEPS, steps - 1)
        self._steps = self._samples = 0
        self._seconds = 0.0
        self._since: float | None = None
        if self._skip == 0:
            self._start()

    def count(self, samples: int) -> None:
        """Count one step over ``samples`` examples of all processes together."""
        self._steps += 1
        if self._steps > self._skip:
            self._samples += samples
        elif self._steps == self._skip:
            self._start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what happens in the block out (logging, evaluation, checkpoints)."""
        running = self._since is not None
        if running:
            self._stop()
        yield
        if running:
            self._start()

    def result(self) -> float:
        """Return the samples per second so far; 0.0 before a step was counted."""
        if self._since is not None:
            self._stop()
            self._start()
        return self._samples / self._seconds if self._samples and self._seconds else 0.0

    def _start(self) -> None:
        self._device.synchronize()
        self._since = self._clock()

    def _stop(self) -> None:
        self._device.synchronize()
        self._seconds += self._clock() - self._since
        self._since = None

    def _clock(self) -> float:
        compiling = self._compilation.seconds if self._compilation else 0.0
        return time.perf_counter() - compiling


class Throughput(NamedTuple):
    """What all processes did in ``seconds`` of training, all things counted.

    ``tokens_per_second`` counts real tokens; ``padding_efficiency`` is their share of what was computed.
    """

    seconds: float
    samples_per_second: float
    tokens_per_second: float
    padding_efficiency: float


class Stopwatch:
    """Times a training from end to end: evaluations, checkpoints and all."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._samples = self._tokens = self._padded_tokens = 0

    def count(self, samples: int, tokens: int, padded_tokens: int) -> None:
        """Count one step over all processes; ``padded_tokens`` are the tokens and the padding."""
        self._samples += samples
        self._tokens += tokens
        self._padded_tokens += padded_tokens

    def result(self) -> Throughput:
        """Return the figures so far."""
        seconds = time.perf_counter() - self._began
        return Throughput(
            seconds,
            self._samples / seconds,
            self._tokens / seconds,
            self._tokens / max(1, self._padded_tokens),
        )
