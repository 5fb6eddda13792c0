"""The launchers' final report, from the records of a finished run, in the references' words."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from model.files import write_whole
from tools.results.run_folder import RunFolder

KINDS = ("acc", "perf", "eval")
# The references' launchers report these of a task's metrics, whichever the run has.
_ACCURACIES = {"acc": "", "pearson": " (Pearson correlation)"}
_MEANING = (
    "(images/sec are sentences or pairs of sentences per second of training, all processes together; "
    "the accuracy is the trained model's on the dev set)"
)


def report(
    run: RunFolder, network: str, kind: str, batch_size: int, processes: int, seconds: int
) -> tuple[list[str], dict[str, str]]:
    """Return the lines of the final result, and the ``key = value`` pairs of the case's log file.

    The performance is that of the best epoch, the accuracy that of the last evaluation. Beside the
    performance stands the padding that it was measured with, since no other's can be compared.
    """
    speed = (
        None if kind == "eval" else run.run.get("fps")
    )  # A model that is scored has its training's.
    fps = None if speed is None else round(speed, 2)
    padding = None if fps is None else _of(run.run, "flags").get("padding")
    losses = losses_of(run, kind)
    name = f"{network}_bs{batch_size}_{processes}p_{kind}"
    result = [
        "------------------ Final result ------------------",
        f"Final Performance images/sec : {fps if fps is not None else 'not measured'}",
        f"Final Performance padding : {padding or 'not measured'}",
        f"Final Train Accuracy : {_accuracy(run)}",
        f"E2E Training Duration sec : {seconds}",
        _MEANING,
    ]
    return result, {
        "Network": network,
        "RankSize": str(processes),
        "BatchSize": str(batch_size),
        "DeviceType": platform.machine(),
        "CaseName": name,
        "ActualFPS": "" if fps is None else str(fps),
        "Padding": padding or "",
        "ActualLoss": str(losses[-1]) if losses else "",
        "E2ETrainingTime": str(seconds),
    }


def losses_of(run: RunFolder, kind: str) -> list[float]:
    """Return the loss of each step of the training; none where ``kind`` says that nothing was trained."""
    return [] if kind == "eval" else [record["loss"] for record in run.of("step")]


def _accuracy(run: RunFolder) -> str:
    found = _of(_of(run.run, "results"), "model")
    for name, unit in _ACCURACIES.items():
        if name in found:
            return f"{found[name]}{unit}"
    return "not measured"


def _of(values: dict[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def write_report(
    output_dir: Path,
    log_dir: Path,
    network: str,
    kind: str,
    batch_size: int,
    processes: int,
    seconds: int,
) -> str:
    """Read what the run left, write the case's files to ``log_dir``, and return the report."""
    run = RunFolder(output_dir)
    result, case = report(run, network, kind, batch_size, processes, seconds)
    name = case["CaseName"]
    lines = "".join(f"{key} = {value}\n" for key, value in case.items())
    write_whole(log_dir / f"{name}.log", lines)
    losses = "".join(f"{loss}\n" for loss in losses_of(run, kind))
    write_whole(log_dir / f"train_{name}_loss.txt", losses)
    return "\n".join([*result, ""])
