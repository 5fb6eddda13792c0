"""The models that a run's flags name as on the Hugging Face hub: fetched, they are folders as others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tools.cli.errors import UsageError
from tools.machine.hub import CONFIG_FILES, VOCABULARY_FILES, local_model
from tools.run.flags import Flags


def with_folders(flags: Flags) -> Flags:
    """Return the flags with a folder for each model that they name; what the hub has is fetched.

    Raises:
        UsageError, ConnectionError, DiskError: as :func:`tools.machine.hub.local_model`; or
            --model_revision is given, and no model of the hub.
    """
    inputs, ignored = flags.inputs, flags.ignored
    cache_dir = ignored.cache_dir or None
    # Random weights need none.
    wanted = VOCABULARY_FILES if inputs.random_init and flags.goals.do_train else ()
    named = {
        "config_name": (inputs.config_name, CONFIG_FILES),
        "tokenizer_name": (inputs.tokenizer_name, VOCABULARY_FILES),
    }
    if inputs.model_given:
        named["model_name_or_path"] = (inputs.model_name_or_path, wanted)
    folders = {
        name: local_model(Path(value), f"--{name}", files, inputs.model_revision, cache_dir)
        for name, (value, files) in named.items()
        if value
    }
    if all(folder == Path(named[name][0]) for name, folder in folders.items()):
        if inputs.model_revision not in (None, "main"):
            raise UsageError(
                f"--model_revision {inputs.model_revision} is of a model of the hub, and none is named: "
                "leave it out"
            )
        return flags
    strings = {name: str(f) for name, f in folders.items() if name != "model_name_or_path"}
    return replace(
        flags,
        inputs=replace(inputs, **{**folders, **strings}),
        ignored=replace(ignored, cache_dir=None),
    )
