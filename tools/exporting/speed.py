"""How fast an exported network answers beside torch: both in one process, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from processors.features import Features
from processors.splitting import select

_ROUNDS, _SINGLES, _BATCHES = (
    7,
    40,
    640,
)  # turns, and the examples of each, one by one and in batches
_PAUSE = 0.05  # Threads of the one before that still spin get so many seconds to end.
# [N, num_labels] of N examples, and how many of them are computed together.
Compute = Callable[[Features, int], np.ndarray]


@dataclass(frozen=True)
class Speed:
    """What a network takes: seconds of an example alone, and examples a second in batches.

    Attributes:
        single_ratio, batch_ratio: its time over that of the first, as the median of the rounds.
    """

    single: float
    per_second: float
    single_ratio: float
    batch_ratio: float


def compare_speed(
    networks: Mapping[str, Compute], features: Features, batch_size: int
) -> dict[str, Speed]:
    """Return how fast each of the networks computes the outputs of examples from their token ids.

    They take turns; ratios are of turns of the same round, so what else the machine does meets all alike.

    Args:
        networks: the first is what the others are compared with.
    """
    alone = [select(features, np.array([row])) for row in _spread(len(features), _SINGLES)]
    together = select(features, _spread(len(features), _BATCHES))

    def one_by_one(compute: Compute) -> None:
        for one in alone:
            compute(one, 1)

    def in_batches(compute: Compute) -> None:
        compute(together, batch_size)

    singles = _take_turns(networks, one_by_one)
    batches = _take_turns(networks, in_batches)
    first = next(iter(networks))

    def ratio(times: Mapping[str, list[float]], name: str) -> float:
        return statistics.median(a / b for a, b in zip(times[name], times[first], strict=True))

    return {
        name: Speed(
            single=statistics.median(singles[name]) / len(alone),
            per_second=len(together) / statistics.median(batches[name]),
            single_ratio=ratio(singles, name),
            batch_ratio=ratio(batches, name),
        )
        for name in networks
    }


def _spread(count: int, most: int) -> np.ndarray:
    """Return up to ``most`` of ``count`` rows, evenly over all of them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _take_turns(
    networks: Mapping[str, Compute], work: Callable[[Compute], None]
) -> dict[str, list[float]]:
    """Return the seconds of each turn of each network; the first turns, which warm up, do not count."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for index in range(_ROUNDS + 1):
        for name, compute in networks.items():
            time.sleep(_PAUSE)
            began = time.perf_counter()
            work(compute)
            if index:
                times[name].append(time.perf_counter() - began)
    return times


def speed_table(speeds: Mapping[str, Speed]) -> str:
    """Return the figures as a table of Markdown."""
    rows = [
        "| network | one example, ms | time / torch's | in batches, examples/s | time / torch's |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, speed in speeds.items():
        single, batches = f"{1000 * speed.single:.2f}", f"{speed.per_second:,.0f}"
        ratios = f"{speed.single_ratio:.2f}", f"{speed.batch_ratio:.2f}"
        rows.append(f"| {name} | {single} | {ratios[0]} | {batches} | {ratios[1]} |")
    return "\n".join(rows)
