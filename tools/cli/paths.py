"""Where the project itself is, and where it looks for a model by default."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_MODEL = "./prev_trained_model/albert_base_v2"
