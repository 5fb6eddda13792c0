"""Whether a training begins with the classifier of the model that it starts from, or with a new one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.checkpoint import HEAD, Weights, outputs, without_head
from model.configuration_albert import AlbertConfig
from processors.class_names import match_classes
from processors.custom import CUSTOM
from processors.glue import Task
from tools.cli.errors import UsageError

_REMEDY = "leave --keep_head out and train a new classifier"


@dataclass(frozen=True)
class FileHead:
    """The classifier of a model to start from, as its configuration has it.

    Attributes:
        labels: the classes by output; empty where the configuration has none, or they are a number.
        named: whether somebody named them.
        other_kind: what it classifies, if that is no sequence.
    """

    labels: tuple[str, ...]
    named: bool
    other_kind: str | None

    @classmethod
    def of(cls, config: AlbertConfig) -> FileHead:
        """Return that of ``config``, which no task was given to yet."""
        names = tuple(config.labels) if config.id2label else ()
        # So a configuration calls classes that nobody named.
        named = any(name not in (str(i), f"LABEL_{i}") for i, name in enumerate(names))
        return cls(names, named, config.other_classifier)

    def take(self, weights: Weights, task: Task, keep_head: bool) -> Weights:
        """Return the weights with the classifier in the order of the task's classes, or without it.

        It is taken where it has the task's outputs, and classes that mean the same. Those without names
        are taken for GLUE's, whose order everybody knows, and not for those of a task of one's own.

        Args:
            task: with its classes.
            keep_head: whether classes may be called otherwise; they are the task's, in their order.

        Raises:
            UsageError: with ``keep_head``: there is no classifier, or one with other outputs.
        """
        there = {key for key in HEAD if key in weights.state}
        wanted = 1 if task.labels is None else len(task.labels)
        found = len(weights.state[HEAD[1]]) if len(there) == 2 and _is_head(weights) else None
        if there and (found is None or self.other_kind):
            problem = f"a classifier of another kind ({self.other_kind or 'not one linear map'})"
        elif not there:
            problem = "no classifier"
        elif found != wanted:
            problem = f"a classifier {outputs(found)}, not {outputs(wanted)}"
        else:
            return self._take_classes(weights, task, keep_head)
        if keep_head:
            raise UsageError(f"--keep_head: {weights.path} holds {problem}: {_REMEDY}")
        return without_head(weights, f"left out: {problem}") if there else weights

    def _take_classes(self, weights: Weights, task: Task, keep_head: bool) -> Weights:
        labels = task.labels
        if labels is None or not (self.named or task.name == CUSTOM):
            return weights
        if self.labels and (found := match_classes(task.name, self.labels, labels)):
            if found == tuple(labels):
                return weights
            order = [found.index(name) for name in labels]
            state = weights.state | {key: weights.state[key][order] for key in HEAD}
            return replace(
                weights, state=state, changes=(*weights.changes, "its classes in the task's order")
            )
        theirs = "classes without names"
        if self.named:
            theirs = ", ".join(map(repr, self.labels[:6])) + (" …" if self.labels[6:] else "")
        if keep_head:
            of_what = f"classes {theirs}" if self.named else theirs
            change = f"its {of_what} are taken for the task's, in this order"
            return replace(weights, changes=(*weights.changes, change))
        change = (
            f"left out: its classifier for {theirs} (--keep_head takes them for the task's classes)"
        )
        return without_head(weights, change)


def _is_head(weights: Weights) -> bool:
    weight, bias = (weights.state[key] for key in HEAD)
    return weight.dim() == 2 and bias.dim() == 1 and len(weight) == len(bias)
