"""A trained model's names of its classes, matched with a task's by what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# What people call the classes 0 and 1 of any task, and those of GLUE's, written as `_key` has them.
_USUAL = (("negative", "neg", "no", "false"), ("positive", "pos", "yes", "true"))
_OF_TASK = {
    "cola": (("unacceptable", "ungrammatical"), ("acceptable", "grammatical")),
    "mrpc": (("notequivalent", "notparaphrase"), ("equivalent", "paraphrase")),
    "qqp": (("notduplicate", "notparaphrase"), ("duplicate", "paraphrase")),
    "wnli": (("notentailment", "nonentailment"), ("entailment",)),
    "lcqmc": (("different", "notsimilar"), ("same", "similar")),
}
_OTHER_WORDS = {"nonentailment": "notentailment"}
_WHOLE_NUMBER = re.compile(r"\+?(-?[0-9]+)(?:\.0*)?")
_NUMBERED = re.compile(r"(?:label)?([0-9]+)")


def match_classes(
    task_name: str, model_names: Sequence[str], labels: Iterable[str]
) -> tuple[str, ...] | None:
    """Return what each of a model's outputs is called in a task; None where the names do not tell.

    Case, spaces, ``_`` and ``-`` do not matter; ``LABEL_1`` is the class 1, and so is ``positive``, and
    what is meant by 1 in GLUE's tasks (``equivalent`` in MRPC).

    Args:
        model_names: by output index.
        labels: the task's. An output that is none of them keeps its name.
    """
    names = list(model_names)
    taken = set()
    for label in labels:
        # What is written alike comes first: another name may mean the same.
        same = [i for i, name in enumerate(model_names) if name == label]
        same = same or [i for i, name in enumerate(model_names) if _same(task_name, name, label)]
        if len(same) != 1 or same[0] in taken:
            return None
        taken.update(same)
        names[same[0]] = label
    return tuple(names) if len(set(names)) == len(names) else None


def whole_number(name: str) -> str:
    """Return a whole number as it is usually written: 1.0 and +1, as other programs have it, as 1."""
    match = _WHOLE_NUMBER.fullmatch(name)
    return match[1] if match else name


def is_whole_number(name: str) -> bool:
    """Return whether a name is one, however it is written."""
    return _WHOLE_NUMBER.fullmatch(name) is not None


def names_nothing(model_names: Sequence[str]) -> bool:
    """Return whether a model's names only count its outputs: ``LABEL_0``, ``1``."""
    return all(_NUMBERED.fullmatch(_key(name)) for name in model_names)


def _same(task_name: str, name: str, label: str) -> bool:
    return bool(_meanings(task_name, name) & _meanings(task_name, label))


def _meanings(task_name: str, name: str) -> set[str]:
    """Return what stands for a class: itself, and the number that the name has in the task."""
    key = _key(name)
    number = _NUMBERED.fullmatch(key)
    found = {number[1] if number else _OTHER_WORDS.get(key, key)}
    for words in (_USUAL, _OF_TASK.get(task_name, ())):
        found |= {str(index) for index, names in enumerate(words) if key in names}
    return found


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()
