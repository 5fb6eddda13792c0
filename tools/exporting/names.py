"""The files of an exported folder beside the model's own, and the packages that make and run them.

Needs nothing but Python.
"""

from __future__ import annotations

import importlib.util
import sys

from tools.cli.errors import UsageError

CARD = "README.md"
RECORD = "export.json"  # It says what was exported, and tells such a folder from others.
NETWORK = "model.onnx"
NETWORK_INT8 = "model_int8.onnx"
NETWORK_FLAGS = {NETWORK: "--onnx", NETWORK_INT8: "--int8"}  # that have them written
# What an exported network takes, [B, S] each: ids and token types int32, and the mask bool.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"

MAKERS = ("onnx", "onnxscript", "onnxruntime")
RUNNERS = ("onnxruntime",)


def check_packages(flag: str, names: tuple[str, ...]) -> None:
    """See that the packages are there that ``flag`` needs.

    Raises:
        UsageError: one is not; has the command that installs those that are missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{flag} needs {', '.join(missing)}, not installed in {sys.executable}: python3 -m pip "
            f"install {' '.join(missing)}"
        )
