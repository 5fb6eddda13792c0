"""Where the project itself is, and where it looks for a model by default."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "run_classifier.py"
# In the wheel this is the folder of a package; a checkout is none.
INSTALLED = (ROOT / "__init__.py").is_file()
# Data and weights go into the checkout; of an installed program, to where its user is.
HOME = Path() if INSTALLED else ROOT
DEFAULT_MODEL = "./prev_trained_model/albert_base_v2"
