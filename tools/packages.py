"""Imported first by programs: a missing package ends in one line, not in a traceback."""

from __future__ import annotations

import importlib.util
import sys

_MODULES = ("numpy", "torch", "safetensors", "sentencepiece", "sklearn", "scipy", "tqdm")

missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(
        f"{sys.argv[0]}: error: {', '.join(missing)} not installed in {sys.executable}: activate the "
        "environment that test/train_demo_1p.sh made (. .venv/bin/activate), or python3 -m pip "
        "install -r requirements.txt -c constraints.txt"
    )
