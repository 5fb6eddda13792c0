"""Who is compared with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

PARTS = ("train", "static", "eval")
PRECISIONS = ("fp32", "bf16")
ATTENTIONS = ("sdpa", "eager")
_NARROW = 16  # The narrower static batch has this width.


@dataclass(frozen=True)
class Contender:
    """One of those compared.

    Attributes:
        group: contenders of a group have the same data and take turns with each other.
        system: ``ours`` or ``hf``, which train or evaluate; ``matmul`` measures the machine.
        batching: which examples meet and how wide they are padded: a padding policy of this project, or
            ``max_length``, ``dynamic`` or ``grouped`` (HF). Static batches have none.
        attention: HF's implementation.
        compiled: whether with ``--torch_compile``.
        precision: one of :data:`PRECISIONS`.
        width: of a static batch; 0 otherwise.
    """

    name: str
    group: str
    system: str
    batching: str = ""
    attention: str = ""
    compiled: bool = False
    precision: str = PRECISIONS[0]
    width: int = 0

    @property
    def part(self) -> str:
        """One of :data:`PARTS`."""
        return self.group.partition("-")[0]

    @property
    def trains(self) -> bool:
        """Whether it trains; else it only evaluates."""
        return self.part != "eval"


def make_contenders(
    max_length: int,
    attentions: Sequence[str] = ATTENTIONS[:1],
    precisions: Sequence[str] = PRECISIONS[:1],
    compiled: bool = False,
) -> list[Contender]:
    """Return all contenders of a run.

    Args:
        attentions: HF's; the first has the plain names. Static batches get all of :data:`ATTENTIONS`.
        precisions: of training; the first has the plain names.
        compiled: whether ours is there with ``--torch_compile``, too: in buckets and in static batches.
    """
    ours = [f"ours-{batching}" for batching in ("bucket", "longest", "max_length")]
    found = [Contender(name, "train", "ours", name[len("ours-") :]) for name in ours]
    if compiled:
        found.append(Contender("ours-compile-bucket", "train", "ours", "bucket", compiled=True))
    for batching in ("max_length", "dynamic", "grouped"):
        for attention, suffix in _suffixes(attentions):
            found.append(Contender(f"hf-{batching}{suffix}", "train", "hf", batching, attention))
    for width in sorted({min(_NARROW, max_length), max_length}, reverse=True):
        group = f"static-{width}"
        found.append(Contender(f"ours-{group}", group, "ours", width=width))
        if compiled:
            found.append(replace(found[-1], name=f"ours-compile-{group}", compiled=True))
        for attention in ATTENTIONS:
            name = f"hf-{attention}-{group}"
            found.append(Contender(name, group, "hf", attention=attention, width=width))
    return [
        *(
            replace(contender, name=contender.name + suffix, precision=precision)
            for contender in found
            for precision, suffix in _suffixes(precisions)
        ),
        *(
            Contender(f"ours-eval{suffix}", "eval", "ours", "bucket", precision=precision)
            for precision, suffix in (("fp32", ""), ("bf16", "-bf16"))
            if precision in ("fp32", *precisions)
        ),
        *(
            Contender(f"hf-eval{suffix}", "eval", "hf", "dynamic", attention)
            for attention, suffix in _suffixes(attentions)
        ),
    ]


def _suffixes(values: Sequence[str]) -> list[tuple[str, str]]:
    return [(value, f"-{value}" if index else "") for index, value in enumerate(values)]


def make_ratios(contenders: Sequence[Contender]) -> list[tuple[str, str]]:
    """Return whose speed is compared with whose: the names of two contenders, the second the measure.

    In each group and precision, the first of ours is compared with all others, and what a flag changes in
    it with itself. The same padding is compared between the systems, each contender between precisions.
    """
    names = [contender.name for contender in contenders]
    first = {
        (c.group, c.precision): c.name
        for c in reversed(contenders)
        if c.system == "ours" and not c.compiled
    }
    pairs = []
    for contender in contenders:
        name, measure = contender.name, first.get((contender.group, contender.precision))
        if measure not in (None, name):
            pairs.append((name, measure) if contender.compiled else (measure, name))
        if name.startswith("ours-max_length"):
            pairs.append((name, name.replace("ours", "hf")))
        for precision in PRECISIONS:
            if name.endswith(f"-{precision}"):
                pairs.append((name, name.removesuffix(f"-{precision}")))
    return [pair for pair in dict.fromkeys(pairs) if pair[0] in names and pair[1] in names]
