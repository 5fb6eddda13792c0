"""What several trainings that differ by their seed alone came to, together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tools.results.metric_names import is_metric


def summarize(results: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of N trainings, side by side.

    Args:
        results: by seed, what run.json has of the trained model.

    Returns:
        ``examples`` of the dev set, ``folders`` by seed, and ``metrics`` by name: ``values`` by seed,
        their ``mean``, sample ``deviation`` and the 95 % ``interval`` of the mean, by Student's t. The
        last two are None of one training, and the interval where all came to the same.
    """
    first = next(iter(results.values()), {})
    names = [name for name, value in first.items() if is_metric(name, value)]
    return {
        "examples": first.get("examples"),
        "folders": {str(seed): folder_name(seed) for seed in results},
        "metrics": {
            name: _scatter({seed: found.get(name) for seed, found in results.items()})
            for name in names
        },
    }


def folder_name(seed: int) -> str:
    """Return what the folder of a training is called."""
    return f"seed_{seed}"


def _scatter(by_seed: Mapping[int, float | None]) -> dict[str, Any]:
    values = np.array([math.nan if value is None else value for value in by_seed.values()])
    count, mean = len(values), float(values.mean())
    deviation = float(values.std(ddof=1)) if count > 1 else None
    if deviation and np.ptp(values) == 0:  # What is left is the rounding of the mean.
        deviation = 0.0
    ends = None
    if deviation:
        from scipy.stats import t

        half = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
        ends = [mean - half, mean + half]
    by_name = {str(seed): value for seed, value in by_seed.items()}
    return {"mean": mean, "deviation": deviation, "interval": ends, "values": by_name}


def lines_of(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the summary as lines of a log, and what it says and does not say."""
    metrics = summary["metrics"]
    count = len(summary["folders"])
    yield f"***** {count} training{'s' if count > 1 else ''} with seeds of their own *****"
    for name, found in metrics.items():
        of_each = ", ".join(f"{value:.4f} ({seed})" for seed, value in found["values"].items())
        yield f"  {name} by seed: {of_each}"
    for name, found in metrics.items():
        line = f"  {name}: mean {found['mean']:.4f}"
        if found["deviation"] is not None:
            line += f", deviation {found['deviation']:.4f}"
        if found["interval"]:
            low, high = found["interval"]
            line += f", 95 % interval of the mean {low:.4f} to {high:.4f} (Student's t)"
        yield line
    yield (
        "  This is how far trainings with these flags scatter by --seed alone, scored on the same "
        f"{summary['examples']} examples. How far a score depends on those examples, the interval of each "
        "training tells, and another training's scores do not make that smaller."
    )
