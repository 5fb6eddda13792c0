"""A double of apex as Ascend patched it, for machines without an NPU: ``from apex import amp``."""

from apex import amp, optimizers

__all__ = ["amp", "optimizers"]
