"""Whether a flag of the values off, auto and on gets what it asks for."""

from __future__ import annotations

import logging

from tools.cli.errors import UsageError

logger = logging.getLogger(__name__)


def untried(wanted: str, alone: bool) -> str | None:
    """Return why a flag that says ``auto`` gets nothing, whatever the device can; None where it may.

    Of several processes together only CPUs have tried graphs, a stand-in, and fused kernels.
    """
    if wanted == "auto" and not alone:
        return "several processes run together, which no GPU has tried; on has them"
    return None


def decide(name: str, wanted: str, obstacle: str | None, has_cuda: bool) -> bool:
    """Return whether a flag that says ``auto`` or ``on`` gets what it asks for; log where it does not.

    Args:
        has_cuda: whether the device is one that the flag is for. On another ``auto`` asks for nothing.

    Raises:
        UsageError: it says ``on``, and there is an obstacle.
    """
    if obstacle is None:
        return True
    if wanted == "on":
        raise UsageError(f"--{name} on: {obstacle}; leave it out")
    if has_cuda:
        logger.info("--%s %s: none, for %s", name, wanted, obstacle)
    return False
