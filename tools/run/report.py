"""The launchers' final report, from the log of a finished run, in the references' words."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from model.files import write_whole

KINDS = ("acc", "perf", "eval")
# The references' launchers report these of a task's metrics, whichever the log has.
_ACCURACIES = {"acc": "", "pearson": " (Pearson correlation)"}


def values_in(log: str, name: str, separator: str = " = ") -> list[float]:
    """Return every number that follows ``name`` and ``separator`` in ``log``."""
    pattern = rf"(?:^|\s){re.escape(name + separator)}([-+0-9.e]+|nan|inf)(?:\s|$)"
    return [float(value) for value in re.findall(pattern, log, flags=re.MULTILINE)]


def report(
    log: str, network: str, kind: str, batch_size: int, processes: int, seconds: int
) -> tuple[list[str], dict[str, str]]:
    """Return the lines of the final result, and the ``key = value`` pairs of the case's log file.

    The performance is that of the best epoch, the accuracy that of the last evaluation. Beside the
    performance stands the padding that it was measured with, since no other's can be compared.
    """
    paddings = re.findall(r"^ FPS = \S+  padding = (\w+)$", log, flags=re.MULTILINE)
    padding = paddings[-1] if paddings else None
    fps = max(values_in(log, "FPS"), default=None)
    losses = values_in(log, "loss", ": ")
    accuracy = next(
        (
            f"{found[-1]}{unit}"
            for name, unit in _ACCURACIES.items()
            if (found := values_in(log, name))
        ),
        "not measured",
    )
    name = f"{network}_bs{batch_size}_{processes}p_{kind}"
    result = [
        "------------------ Final result ------------------",
        f"Final Performance images/sec : {fps if fps is not None else 'not measured'}",
        f"Final Performance padding : {padding or 'not measured'}",
        f"Final Train Accuracy : {accuracy}",
        f"E2E Training Duration sec : {seconds}",
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


def write_report(
    log: Path, network: str, kind: str, batch_size: int, processes: int, seconds: int
) -> str:
    """Read the log, write the case's files beside it, and return the report."""
    text = log.read_text(encoding="utf-8", errors="replace")
    result, case = report(text, network, kind, batch_size, processes, seconds)
    name = case["CaseName"]
    lines = "".join(f"{key} = {value}\n" for key, value in case.items())
    write_whole(log.parent / f"{name}.log", lines)
    losses = "".join(f"{loss}\n" for loss in values_in(text, "loss", ": "))
    write_whole(log.parent / f"train_{name}_loss.txt", losses)
    return "\n".join([*result, ""])
