"""Who is compared with whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from processors.batching import PADDING_POLICIES
from tools.bench.spec import Contender

ATTENTIONS = ("sdpa", "eager")
NARROW = 16  # the width of the narrower static batch
HF_BATCHING = ("max_length", "dynamic", "grouped")
# Ours with a flag of run_classifier.py that is off by default.
VARIANTS = {"compile": {"compiled": True}, "bf16": {"bf16": True}}


class Ratio(NamedTuple):
    """A speed over another: that of the fastest of ``others``, which differ in HF's attention."""

    name: str
    contender: str
    others: tuple[str, ...]


def make_contenders(
    max_length: int, attentions: Sequence[str], variants: Sequence[str] = ()
) -> list[Contender]:
    """Return all contenders of a run, group by group.

    Args:
        attentions: HF's; the first has the plain names. Static batches get all of :data:`ATTENTIONS`.
        variants: of :data:`VARIANTS`, those that are there, too: in buckets and in static batches.
    """
    policies = sorted(PADDING_POLICIES)  # bucket, longest, max_length
    found = [Contender(f"ours-{name}", "train", "ours", name) for name in policies]
    flags = {f"{name}-": VARIANTS[name] for name in variants}
    for prefix, flag in flags.items():
        found.append(Contender(f"ours-{prefix}bucket", "train", "ours", "bucket", **flag))
    for batching in HF_BATCHING:
        for attention, suffix in _suffixes(attentions):
            found.append(Contender(f"hf-{batching}{suffix}", "train", "hf", batching, attention))
    for width in sorted({min(NARROW, max_length), max_length}, reverse=True):
        group = f"static-{width}"
        for prefix, flag in {"": {}, **flags}.items():
            name = f"ours-{prefix}{group}"
            found.append(Contender(name, group, "ours", "static", width=width, **flag))
        for attention in ATTENTIONS:
            name = f"hf-{attention}-{group}"
            found.append(Contender(name, group, "hf", "static", attention, width=width))
    found.append(Contender("ours-eval", "eval", "ours", "bucket"))
    for attention, suffix in _suffixes(attentions):
        found.append(Contender(f"hf-eval{suffix}", "eval", "hf", "dynamic", attention))
    return found


def make_ratios(contenders: Sequence[Contender]) -> list[Ratio]:
    """Return the ratios that matter, as far as both sides of them are among ``contenders``."""
    names = [contender.name for contender in contenders]

    def of(left: str, right: str, group: str | None = None) -> Ratio:
        others = [f"{right}{suffix}" for suffix in ("", "-eager", "-sdpa")]
        if group:
            others = [f"hf-{attention}-{group}" for attention in ATTENTIONS]
        present = tuple(name for name in others if name in names)
        return Ratio(f"{left} / {right}", left, present)

    groups = list(dict.fromkeys(c.group for c in contenders if c.width))
    wanted = [of("ours-bucket", f"ours-{policy}") for policy in ("max_length", "longest")]
    wanted += [of("ours-bucket", f"hf-{batching}") for batching in HF_BATCHING]
    wanted.append(of("ours-max_length", "hf-max_length"))
    wanted += [of(f"ours-{group}", f"hf-{group}", group) for group in groups]
    for variant in VARIANTS:
        wanted += [of(f"ours-{variant}-{name}", f"ours-{name}") for name in ("bucket", *groups)]
    wanted.append(of("ours-eval", "hf-eval"))
    return [ratio for ratio in wanted if ratio.contender in names and ratio.others]


def _suffixes(attentions: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, f"-{name}" if index else "") for index, name in enumerate(attentions)]
