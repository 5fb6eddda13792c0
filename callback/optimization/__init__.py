"""Optimizers by name."""

from callback.optimization.factory import OPTIMIZERS, build_optimizer
from callback.optimization.lamb import Lamb

__all__ = ["OPTIMIZERS", "Lamb", "build_optimizer"]
