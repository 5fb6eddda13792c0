"""The result as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NONE = "–"


def make_report(result: dict[str, Any]) -> str:
    """Return the tables of a result, which is what ``--json`` writes."""
    machine, data = result["machine"], result["data"]
    lines = [
        f"`{machine['command']}`",
        "",
        f"{machine['processor']}; {machine['device']}; torch "
        f"{machine['torch']}, transformers {machine['transformers'] or 'not installed'}; "
        f"{machine['precision']}, optimizer {machine['optimizer']}, batch {machine['batch_size']}, "
        f"{machine['rounds']} rounds; {machine['seconds']:.0f} s in all",
        "",
        f"Data: {data['source']}, {data['train_examples']} examples of {data['mean_length']:.1f} tokens "
        f"on average (longest {data['longest']}).",
    ]
    if not result["whole"]:
        lines += ["", "The run was cut short: these are the figures of what was over by then."]
    if contenders := result["contenders"]:
        tokens, widths = (_deviation(contenders, name) for name in ("mean_tokens", "mean_width"))
        lines += [
            "",
            "The batches of a turn stand for an epoch: their mean tokens differ from the epoch's by "
            f"{_percent(tokens)} at most, their mean width by {_percent(widths)}.",
            "",
            *_contender_table(contenders),
            "",
            *_peak_table(result["peaks"]),
        ]
    if result["startup"]:
        lines += ["", *_startup_table(result["startup"])]
    if result["processes"]:
        lines += ["", *_processes_table(result["processes"])]
    if result["ratios"]:
        lines += ["", *_ratio_table(result["ratios"])]
    return "\n".join(lines)


def _deviation(contenders: dict[str, Any], name: str) -> float:
    return max(abs(c["turn"][name] / c["epoch"][name] - 1) for c in contenders.values())


def _contender_table(contenders: dict[str, Any]) -> list[str]:
    compiled = any(figures["compile_seconds"] for figures in contenders.values())
    header = [
        "contender",
        "samples/s (lowest–highest)",
        "tokens/s",
        "no padding",
        "share of the peak",
        "of it needed",
        "peak memory",
        "optimizer",
        "host reads",
    ]
    rows = [
        [
            name,
            _spread(figures["samples_per_second"]),
            _number(figures["tokens_per_second"]["median"]),
            _percent(figures["padding_efficiency"]),
            _percent(figures["mfu"]),
            _percent(figures["needed"]),
            f"{figures['peak_memory_bytes'] / 2**30:.2f} GiB",
            _percent(figures["optimizer_share"]),
            _plain(figures["host_reads_per_step"]),
            *([_plain(figures["compile_seconds"], ".1f")] if compiled else []),
        ]
        for name, figures in contenders.items()
    ]
    return _table([*header, *(["compilation, s"] if compiled else [])], rows)


def _peak_table(peaks: dict[str, Any]) -> list[str]:
    rows = [
        [group, _number(figures["flops_per_second"] / 1e9), figures["shape"]]
        for group, figures in peaks.items()
    ]
    return _table(["the peak: group", "fastest matrix product, GFLOP/s", "its shape"], rows)


def _startup_table(startup: dict[str, Any]) -> list[str]:
    rows = [[name, _spread(figures)] for name, figures in startup.items()]
    return _table(["train.tsv to features", "seconds (lowest–highest)"], rows)


def _processes_table(processes: dict[str, Any]) -> list[str]:
    rows = [[name, _spread(figures)] for name, figures in processes.items()]
    return _table(["processes", "samples/s (lowest–highest)"], rows)


def _ratio_table(ratios: dict[str, Any]) -> list[str]:
    rows = [[name, figures["over"], _spread(figures)] for name, figures in ratios.items()]
    return _table(["ratio of speeds", "over", "median of the rounds (lowest–highest)"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


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
