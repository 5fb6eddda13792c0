"""Imported first by programs: a missing package ends in one line, not in a traceback."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import TracebackType

from tools.cli.missing_requirements import is_satisfied
from tools.cli.naming import as_typed
from tools.cli.paths import INSTALLED
from tools.cli.streams import open_closed_streams
from tools.cli.waiting import settle_waiting

open_closed_streams()


def _say_interrupted(
    kind: type[BaseException], error: BaseException, place: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(f"{os.path.basename(sys.argv[0])}: interrupted", file=sys.stderr)  # noqa: PTH119
    else:
        sys.__excepthook__(kind, error, place)


# Ctrl-C while torch is being imported, which takes seconds, needs no traceback either.
sys.excepthook = _say_interrupted

# torch would load an installed accelerator package by itself, which fails where its driver is missing
# even if no accelerator is asked for. tools/machine/device.py loads it when one is.
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

# Large tensors of the CPU go to large pages, where Linux leaves the choice to programs: a product then
# waits less for the addresses of its rows.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# The library that tokenizes with threads warns of every process that is forked afterwards, unless somebody
# has said that this is as meant. Those that load batches tokenize nothing.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

settle_waiting()

_MODULES = (
    "numpy",
    "torch",
    "safetensors",
    "sentencepiece",
    "sklearn",
    "scipy",
    "tokenizers",
    "tqdm",
)

missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
if missing:
    place = "activate the environment that test/train_demo_1p.sh made (. .venv/bin/activate), or "
    remedy = as_typed("python3 -m pip install -r requirements.txt -c constraints.txt")
    sys.exit(
        f"{sys.argv[0]}: error: {', '.join(missing)} not installed in {sys.executable}: "
        f"{'' if INSTALLED else place}{remedy}"
    )

if is_satisfied("numpy", "2") and not is_satisfied("torch", "2.3"):
    sys.exit(
        f"{sys.argv[0]}: error: the torch in {sys.executable} is too old for numpy 2: "
        'python3 -m pip install "numpy<2"'
    )
