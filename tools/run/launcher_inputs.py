"""What a launcher's run reads, looked for before anything is installed. Needs nothing but Python."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from model.file_names import CONFIG_NAME, INDEX_NAMES, VOCABULARY_NAMES, WEIGHTS_NAMES
from processors.glue import TASKS
from tools.cli.errors import UsageError
from tools.run.remedies import PUBLISHED_MODEL, download_command, listed, short

# Flags of run_classifier.py that change where a run reads. It looks for what they name by itself.
_OF_DATA = {"--data_dir", "--task_name"}
_OF_MODEL = {
    *("--model_name_or_path", "--config_name", "--tokenizer_name", "--spm_model_file"),
    *("--vocab_file", "--random_init"),
}

# So end the files of a model's folder that are no weights, of whatever system.
_NO_WEIGHTS = {"", ".json", ".jsonl", ".md", ".model", ".txt", ".vocab"}


def check_inputs(
    task_name: str, data_path: Path, model: Path, scored_by: str | None, passed_on: Collection[str]
) -> None:
    """See that the files are there that a launcher's run reads.

    Args:
        task_name: GLUE's, in small letters.
        data_path: holds the task's folder.
        model: the folder to start from, or that of the trained model where ``scored_by`` names the
            launcher that trains it.
        passed_on: the flags of run_classifier.py that the user gave after ``--``.

    Raises:
        UsageError: some are missing; names all of them, the launcher's flags, and what gets them.
    """
    missing, remedies, assets = [], [], []
    if not _OF_DATA & set(passed_on):
        task, folder = TASKS[task_name], data_path / TASKS[task_name].folder
        trains = [] if scored_by else ["train"]
        tests = ["test"] if "--do_predict" in passed_on else []
        files = [file for split in (*trains, "dev", *tests) for file in task.paths(folder, split)]
        if lacking := [file.name for file in files if not file.is_file()]:
            missing.append(
                f"there is no {listed(lacking)} in {short(folder)} (--data_path={short(data_path)})"
            )
            assets.append(task_name)
    if not _OF_MODEL & set(passed_on) and (lacking := missing_of_model(model)):
        if scored_by:
            missing.append(f"there is no trained model in {short(model)} (--output_dir)")
            remedies.append(f"run test/{scored_by} first")
        else:
            missing.append(
                f"there is no {listed(lacking)} in {short(model)} (--model_path={short(model)})"
            )
            assets += [PUBLISHED_MODEL] if model.name == PUBLISHED_MODEL else []
    if not missing:
        return
    if assets:
        task_folder = data_path if task_name in assets else None
        model_folder = model.parent if PUBLISHED_MODEL in assets else None
        command = download_command(assets, task_folder, model_folder)
        remedies.insert(0, f"get them with: {command}")
    raise UsageError("; ".join([*missing, *remedies]))


def missing_of_model(folder: Path) -> list[str]:
    """Return the files that a model's folder lacks, each by the name that it would have.

    What is there in another form, a link that leads nowhere or weights of another kind, is not lacking:
    who reads it says what it is.
    """
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    others = [name for name in names if Path(name).suffix not in _NO_WEIGHTS]
    found = {
        CONFIG_NAME: CONFIG_NAME in names,
        VOCABULARY_NAMES[0]: any(name in names for name in VOCABULARY_NAMES),
        WEIGHTS_NAMES[0]: bool(others) or any(name in names for name in INDEX_NAMES),
    }
    return [name for name, is_there in found.items() if not is_there]
