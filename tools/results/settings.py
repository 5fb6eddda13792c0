"""With what a run was made: its flags, the versions, the machine."""

from __future__ import annotations

import json
import shlex

from tools.results.markup import Markup, details, join, table, tag
from tools.results.numbers import duration, moment, number, size
from tools.results.outcome import Outcome


def settings(outcome: Outcome) -> Markup | None:
    """Return the flags and the environment, folded; None where the run says neither."""
    blocks = [_command(outcome), _flags(outcome), _environment(outcome)]
    found = [block for block in blocks if block]
    if not found:
        return None
    return tag("section", tag("h2", "How to make it again"), *found, id="settings")


def shown(value: object) -> str:
    """Return the value of a flag as it is typed, about."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _command(outcome: Outcome) -> Markup | None:
    words = outcome.folder.run.get("command")
    if not isinstance(words, list) or not words:
        return None
    if str(words[0]).endswith(".py"):  # As it is typed; an installed command is one by itself.
        words = ["python", *words]
    parts = (tag("span", shlex.quote(str(word))) for word in words)
    return tag("pre", tag("code", join(parts, " ")), tabindex="0")


def _flags(outcome: Outcome) -> Markup | None:
    rows = [
        [tag("code", f"--{name}"), shown(value)] for name, value in sorted(outcome.flags.items())
    ]
    if not rows:
        return None
    listed = table("Flags", ["flag", "value"], rows, "pairs")
    return details(f"Flags ({len(rows)})", listed)


def _environment(outcome: Outcome) -> Markup | None:
    run, device = outcome.folder.run, outcome.part("device")
    durations = outcome.part("durations")
    facts = {
        "started": moment(run.get("started")) if run.get("started") else None,
        "ended": moment(run.get("ended")) if run.get("ended") else None,
        "device": " · ".join(str(device[key]) for key in ("kind", "name") if device.get(key)),
        "processes": run.get("processes"),
        "git revision": run.get("git_revision"),
        **{f"{name} took": duration(value) for name, value in durations.items()},
        "peak memory of a process": size(run["peak_memory_bytes"])
        if run.get("peak_memory_bytes")
        else None,
        "FPS of the launchers' report": number(run["fps"]) if run.get("fps") else None,
        **outcome.part("versions"),
    }
    rows = [[name, str(value)] for name, value in facts.items() if value]
    if not rows:
        return None
    return details("Environment", table("Environment", ["what", "value"], rows, "pairs"))
