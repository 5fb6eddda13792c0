"""What a run of run_classifier.py leaves behind, as the parts read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tools.gpu.programs import Ended


def records_of(output: Path, event: str) -> list[dict[str, Any]]:
    """Return the records of a kind in a run's metrics.jsonl."""
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["event"] == event]


def remarks_in(ended: Ended) -> str:
    """Return what a run's log says of its CUDA graphs, and of what there is none of."""
    text = f"{ended.output}\n{ended.errors}"
    graphs = re.findall(r"CUDA graphs: .*", text) or ["CUDA graphs: none"]
    return "; ".join([*re.findall(r"--\w+ auto: none, for .*", text), graphs[-1]])


def remove_weights(output: Path) -> None:
    """Remove what a run trained: the folder of the results is to be sent around."""
    for file in output.glob("**/*.safetensors"):
        file.unlink()
