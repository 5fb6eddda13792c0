"""Flags by the names that another program has for them: found on a command line, and said in our own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

# What the other program takes for yes and no behind a flag that may stand alone, as Python's programs do.
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


@dataclass
class Line:
    """A command line that is being translated.

    Attributes:
        said: the value of each flag, by its name in its own system (the last, where there are several);
            "true" or "false" for one without a value.
        remarks: lines for the log.
        last: words that come after all others, for they win.
    """

    said: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)

    def at_end(self, words: Sequence[str]) -> list[str]:
        """Put words at the end of the line, and none where it is."""
        self.last += words
        return []


# It gets the flag's value and the whole line, and returns the words in its place.
Rule = Callable[[str, Line], list[str]]


@dataclass(frozen=True)
class OtherNames:
    """What flags are called elsewhere.

    Attributes:
        rules: by the flag's name, with its dashes, what becomes of it. A rule may raise a UsageError.
        switches: those that may stand without a value.
        complete: returns words that come before all others, where one of the names was said.
    """

    rules: Mapping[str, Rule]
    switches: Collection[str] = ()
    complete: Callable[[Line], list[str]] = lambda line: []

    @property
    def names(self) -> Collection[str]:
        """The names, with their dashes."""
        return self.rules.keys()

    def translate(
        self, words: Sequence[str], own_switches: Collection[str]
    ) -> tuple[list[str], tuple[str, ...]]:
        """Return the words with the names replaced, and what is to be remarked in the log.

        A word for yes or no behind a flag that needs no value becomes that flag's value, ``--flag=true``.

        Args:
            own_switches: our flags that have no value.
        """
        parts = _parts(words, {*own_switches, *self.switches})
        line = Line({flag: value for flag, value, _ in parts})
        translated: list[str] = []
        for flag, value, spelled in parts:
            rule = self.rules.get(flag)
            translated += spelled if rule is None else rule(value, line)
        if any(flag in self.rules for flag in line.said):
            translated = [*self.complete(line), *translated, *line.last]
        return translated, tuple(dict.fromkeys(line.remarks))


def _parts(words: Sequence[str], switches: Collection[str]) -> list[tuple[str, str, list[str]]]:
    """Return each flag, its value and the words that say both; other words stand for themselves."""
    parts: list[tuple[str, str, list[str]]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if not word.startswith("--"):
            parts.append((word, "", [word]))
        elif flag in switches:
            if not equals and rest and _truth(rest[0]):
                equals, value = "=", rest.pop(0)
            value = _truth(value) or value if equals else "true"
            parts.append((flag, value, [f"{flag}={value}" if equals else flag]))
        elif equals or not rest or rest[0].startswith("--"):
            parts.append((flag, value, [word]))
        else:
            value = rest.pop(0)
            parts.append((flag, value, [flag, value]))
    return parts


def _truth(word: str) -> str | None:
    """Return ``true`` or ``false`` for a word that says so in some way; None for another word."""
    if word.lower() in (*_YES, *_NO):
        return "true" if word.lower() in _YES else "false"
    return None
