"""The result as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NONE = "–"
_CONTENDER_HEADER = (
    "contender | samples/s (lowest–highest) | tokens/s | no padding | share of the peak | "
    "of it needed | peak memory | optimizer | host reads"
)


def make_report(result: dict[str, Any]) -> str:
    """Return the tables of a result, which is what ``--json`` writes."""
    machine, data = result["machine"], result["data"]
    contenders, peaks, ratios = result["contenders"], result["peaks"], result["ratios"]
    blocks = [
        f"`{machine['command']}`",
        f"{machine['processor']}; {machine['device']}; torch "
        f"{machine['torch']}, transformers {machine['transformers'] or 'not installed'}; "
        f"{machine['precision']}, optimizer {machine['optimizer']}, batch {machine['batch_size']}, "
        f"{machine['rounds']} rounds; {machine['seconds']:.0f} s in all",
        f"Data: {data['source']}, {data['train_examples']} examples of {data['mean_length']:.1f} tokens "
        f"on average (longest {data['longest']}).",
    ]
    if not result["whole"]:
        blocks.append("The run was cut short: these are the figures of what was over by then.")
    if apart := result["one_after_the_other"]:
        blocks.append(
            f"One after the other, since they do not fit the memory together: {', '.join(apart)}. "
            "Ratios there are not of turns of the same round."
        )
    if too_large := result["too_large"]:
        blocks.append(f"Too large for the memory, also alone: {', '.join(too_large)}.")
    if contenders:
        tokens, widths = (
            max(abs(c["turn"][name] / c["epoch"][name] - 1) for c in contenders.values())
            for name in ("mean_tokens", "mean_width")
        )
        blocks.append(
            "The batches of a turn stand for an epoch: their mean tokens differ from the epoch's by "
            f"{_percent(tokens)} at most, their mean width by {_percent(widths)}."
        )
        blocks.append(_contender_table(contenders))
        rows = [
            [group, precision, _number(figures["flops_per_second"] / 1e9), figures["shape"]]
            for group, of_group in peaks.items()
            for precision, figures in of_group.items()
        ]
        header = "the peak: group | in | fastest matrix product, GFLOP/s | its shape"
        blocks.append(_table(header, rows))
    if ratios:
        rows = [[name, _spread(figures)] for name, figures in ratios.items()]
        blocks.append(_table("ratio of speeds | median of the rounds (lowest–highest)", rows))
    return "\n\n".join(blocks)


def _contender_table(contenders: dict[str, Any]) -> str:
    compiled = any(figures["compile_seconds"] for figures in contenders.values())
    rows = [
        [
            name,
            _spread(figures["samples_per_second"]),
            _number(figures["tokens_per_second"]["median"]),
            *(_percent(figures[key]) for key in ("padding_efficiency", "mfu", "needed")),
            f"{figures['peak_memory_bytes'] / 2**30:.2f} GiB",
            _percent(figures["optimizer_share"]),
            _plain(figures["host_reads_per_step"]),
            *([_plain(figures["compile_seconds"], ".1f")] if compiled else []),
        ]
        for name, figures in contenders.items()
    ]
    return _table(_CONTENDER_HEADER + (" | compilation, s" if compiled else ""), rows)


def _table(header: str, rows: Sequence[Sequence[str]]) -> str:
    names = header.split(" | ")
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *rows])


def _spread(figures: dict[str, Any]) -> str:
    median, low, high = (_number(figures[key]) for key in ("median", "low", "high"))
    return f"{median} ({low}–{high})"


def _number(value: float) -> str:
    """Return three digits that say something; all of them above 1000."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.3g} %"


def _plain(value: float | None, form: str = "") -> str:
    return _NONE if value is None else format(value, form)
