"""What to type next: is another run better, what does the model say of other texts, how is it shipped."""

from __future__ import annotations

import shlex

from model.file_names import WEIGHTS_NAMES
from tools.cli.naming import as_typed
from tools.results.markup import Markup, join, tag
from tools.results.outcome import Outcome
from tools.results.scored import Scored


def next_steps(outcome: Outcome, sets: list[Scored]) -> Markup | None:
    """Return the commands that go on from a run's folder; None where it has neither model nor predictions.

    Args:
        sets: the run's predictions for its dev files, as tools.results.scored has them.
    """
    path = outcome.folder.path
    folder = shlex.quote(str(path))
    shipped = shlex.quote(f"shipped/{path.absolute().name}")
    commands = {}
    if sets:
        commands["Is it better than another run, OTHER, or is that chance?"] = (
            f"python -m tools.compare OTHER {folder}"
        )
    if any((path / name).is_file() for name in WEIGHTS_NAMES):
        commands["What does it say of your own TABLE?"] = (
            f"python -m tools.predict --model {folder} --file TABLE --output scored.csv"
        )
        commands[
            "Ship it: a folder for transformers, with a model card (for onnxruntime add --onnx)."
        ] = f"python -m tools.export --model {folder} --output {shipped}"
    if not commands:
        return None
    parts = (
        join([tag("p", why), tag("pre", tag("code", as_typed(typed)), tabindex="0")])
        for why, typed in commands.items()
    )
    return tag("section", tag("h2", "What next"), *parts, id="next")
