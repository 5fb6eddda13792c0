"""A double of apex as Ascend patched it: ``from apex import amp``."""

__all__ = []
