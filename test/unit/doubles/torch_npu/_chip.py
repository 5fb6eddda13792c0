"""Which chip is simulated: by what it lacks, and by what is wrong with it, as the environment says it.

An Ascend 910B and later have all of these; an Ascend 910A has none of them.
"""

from __future__ import annotations

import os

LACKS = "SIMULATED_NPU_LACKS"  # names the variable: some of the words below, with commas between
FAULTS = "SIMULATED_NPU_FAULTS"  # the same, of these: mask, frozen, fallback, kernel, product, hang
BF16, FUSED_ATTENTION, INFINITY = "bf16", "fused_attention", "infinity"


def has(what: str) -> bool:
    """Return whether the chip has bf16 arithmetic, fused attention, or numbers beyond the largest."""
    return what not in os.environ.get(LACKS, "").split(",")


def is_planted(fault: str) -> bool:
    """Return whether the simulation is to do wrong in this way."""
    return fault in os.environ.get(FAULTS, "").split(",")
