"""From the turns to figures: medians, spreads, and ratios of turns of the same round."""

from __future__ import annotations

from collections.abc import Sequence
from operator import truediv
from statistics import median
from typing import Any

from tools.bench.contenders import Ratio


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the median, the least and the largest of ``values``, and themselves."""
    return {
        "median": median(values),
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }


def peak_figures(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the peak of some rounds: the median of the fastest shape, and the medians of all shapes."""
    shapes = {
        name: median(turn["flops_per_second"][name] for turn in turns)
        for name in turns[0]["flops_per_second"]
    }
    best = max(shapes, key=shapes.get)
    return {"flops_per_second": shapes[best], "shape": best, "shapes": shapes}


def contender_figures(
    facts: dict[str, Any], turns: Sequence[dict[str, Any]], peak: float | None
) -> dict[str, Any]:
    """Return what is reported of a contender.

    Args:
        facts: the worker's answer to ``prepare``.
        peak: operations per second that count as all of the machine; None where none were measured.
    """
    epoch, turn = facts["epoch"], facts["turn"]
    speeds = [turn["samples"] / t["seconds"] for t in turns]

    step_seconds = [t["seconds"] / turn["batches"] for t in turns]
    updates = [t["update_seconds"] for t in turns if t["update_seconds"] is not None]

    def share(flops: float) -> float | None:
        return median(flops / t["seconds"] for t in turns) / peak if peak else None

    return {
        "samples_per_second": summary(speeds),
        "tokens_per_second": summary([turn["tokens"] / t["seconds"] for t in turns]),
        "padding_efficiency": epoch["tokens"] / epoch["padded_tokens"],
        "mfu": share(turn["model_flops"]),
        "needed": share(turn["needed_flops"]),
        "peak_memory_bytes": max(t["peak_memory"] for t in turns),
        "optimizer_share": median(map(truediv, updates, step_seconds)) if updates else None,
        "host_reads_per_step": facts.get("host_reads"),
        "compile_seconds": facts.get("compile_seconds"),
        "mean_loss_or_logit": turns[0]["mean"],
        "epoch": {**epoch, **_means(epoch)},
        "turn": {**turn, **_means(turn)},
        "seconds": [t["seconds"] for t in turns],
    }


def ratio_figures(ratio: Ratio, speeds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the ratio of ``ratio.contender`` to the fastest of the others, round by round.

    The two turns of a round are close in time, so what else the machine does is much the same for both.

    Args:
        speeds: summaries of the speeds of the rounds, by contender.
    """
    other = max(ratio.others, key=lambda name: speeds[name]["median"])
    pairs = zip(speeds[ratio.contender]["values"], speeds[other]["values"], strict=True)
    return {"over": other, **summary([own / theirs for own, theirs in pairs])}


def _means(figures: dict[str, float]) -> dict[str, float]:
    return {
        "mean_tokens": figures["tokens"] / figures["samples"],
        "mean_width": figures["padded_tokens"] / figures["samples"],
    }
