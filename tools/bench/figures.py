"""From the turns to figures: medians, spreads, and ratios of turns of the same round."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the median, the least and the largest of ``values``, and themselves."""
    low, high = min(values), max(values)
    return {"median": median(values), "low": low, "high": high, "values": list(values)}


def peak_figures(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the peak of some rounds: the median of the fastest shape, and the medians of all shapes."""
    speeds = [turn["flops_per_second"] for turn in turns]
    shapes = {name: median(speed[name] for speed in speeds) for name in speeds[0]}
    best = max(shapes, key=shapes.get)
    return {"flops_per_second": shapes[best], "shape": best, "shapes": shapes}


def contender_figures(
    facts: dict[str, Any], turns: Sequence[dict[str, Any]], peak: float
) -> dict[str, Any]:
    """Return what is reported of a contender.

    Args:
        facts: the worker's answer to ``prepare``.
        peak: operations per second that count as all of the machine.
    """
    epoch, turn = facts["epoch"], facts["turn"]
    seconds = [t["seconds"] for t in turns]
    updates = [
        t["update_seconds"] * turn["batches"] / t["seconds"] for t in turns if t["update_seconds"]
    ]

    def per_second(amount: float) -> list[float]:
        return [amount / value for value in seconds]

    return {
        "samples_per_second": summary(per_second(turn["samples"])),
        "tokens_per_second": summary(per_second(turn["tokens"])),
        "padding_efficiency": epoch["tokens"] / epoch["padded_tokens"],
        "mfu": median(per_second(turn["model_flops"])) / peak,
        "needed": median(per_second(turn["needed_flops"])) / peak,
        "peak_memory_bytes": max(t["peak_memory"] for t in turns),
        "optimizer_share": median(updates) if updates else None,
        "host_reads_per_step": facts.get("host_reads"),
        "compile_seconds": facts.get("compile_seconds"),
        "mean_loss_or_logit": turns[0]["mean"],
        "epoch": {**epoch, **_means(epoch)},
        "turn": {**turn, **_means(turn)},
        "seconds": seconds,
    }


def ratio_figures(speeds: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return the ratio of two summaries of speeds, round by round.

    The two turns of a round are close in time, so what else the machine does is much the same for both.
    """
    pairs = zip(speeds["values"], others["values"], strict=True)
    return summary([speed / other for speed, other in pairs])


def _means(work: dict[str, float]) -> dict[str, float]:
    samples = work["samples"]
    return {"mean_tokens": work["tokens"] / samples, "mean_width": work["padded_tokens"] / samples}
