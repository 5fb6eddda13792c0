"""The command line of every command here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tools.cli.errors import USAGE_STATUS, UsageError
from tools.cli.naming import as_typed, program_name


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description, and shows the default of each flag that has one."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)

    def _get_help_string(self, action: argparse.Action) -> str:
        hidden = (argparse.SUPPRESS, None, True, False, ())
        shown = not any(action.default is value for value in hidden)
        return f"{action.help} (default: %(default)s)" if shown else action.help


class Parser(argparse.ArgumentParser):
    """Its errors are one line, it has ``--debug``, and ``--batch-size`` is ``--batch_size``.

    The line ends with ``advice``.

    Args:
        prog: the command's name in its messages, in a checkout.
        complete: turns the namespace of the flags into what the command works with. A
            :class:`UsageError` of it is an error of the command line.
        debug_help: what ``--debug`` does.
        options: those of :class:`argparse.ArgumentParser`.
    """

    advice = "; see --help"

    def __init__(
        self,
        prog: str,
        complete: Callable[[argparse.Namespace], Any] = lambda flags: flags,
        debug_help: str = "on an error, show where in the code it happened",
        **options: Any,
    ) -> None:
        options |= {"allow_abbrev": False, "formatter_class": _HelpFormatter}
        super().__init__(prog=program_name(prog), **options)
        self._complete = complete
        self.add_argument("--debug", action="store_true", help=debug_help)

    def parse(self, words: Sequence[str]) -> tuple[Any, bool]:
        """Return what ``complete`` makes of the flags, and whether ``--debug`` is among them.

        Wrong usage ends the program with one line and exit status 2.
        """
        self.check_text(words)
        flags = self.parse_args([self._with_underscores(word) for word in words])
        try:
            return self._complete(flags), flags.debug
        except UsageError as error:
            self.error(str(error))

    def format_help(self) -> str:
        """Return the help, with the commands as they are to be typed here."""
        return as_typed(super().format_help())

    def check_text(self, words: Sequence[str]) -> None:
        """See that words are text: a name in another encoding could be neither printed nor written down.

        Other words end the program with one line and exit status 2.
        """
        for word in words:
            try:
                word.encode("utf-8")
            except UnicodeEncodeError:
                self.error(
                    f"{os.fsencode(word)!r} is no text in {sys.getfilesystemencoding().upper()}, this "
                    "system's encoding: type it in that, and rename a file whose name is not"
                )

    def _get_value(self, action: argparse.Action, text: str) -> Any:
        """Return what a flag's word stands for, as argparse does; an empty one, mostly for nothing."""
        if text == "" and action.option_strings and action.type not in _MAY_BE_EMPTY:
            raise argparse.ArgumentError(
                action, "its value is empty: give it one, or leave the flag out"
            )
        return super()._get_value(action, text)

    def _with_underscores(self, word: str) -> str:
        """Spell ``--batch-size=8`` as ``--batch_size=8`` where that is a flag; leave the rest alone."""
        if not word.startswith("--"):
            return word
        flag, equals, value = word.partition("=")
        spelled = "--" + flag[2:].replace("-", "_")
        return spelled + equals + value if spelled in self._option_string_actions else word

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with exit status 2."""
        line = as_typed(message.replace("\n", "\\n"))  # Of a word that has line breaks.
        print(f"{self.prog}: error: {line}{self.advice}", file=sys.stderr)
        sys.exit(USAGE_STATUS)


@dataclass(frozen=True)
class Number:
    """An argparse type: a ``kind`` (int or float) from ``low``, or above it, to ``high``."""

    kind: type
    low: float
    high: float = float("inf")
    above: bool = False

    def __call__(self, text: str) -> float:
        """Return the number that ``text`` is."""
        try:
            value = self.kind(text)
        except ValueError:
            word = "whole number" if self.kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {word}") from None
        high_enough = self.low < value if self.above else self.low <= value
        if not (high_enough and value <= self.high) or value == float("inf"):
            bound = f"above {self.low}" if self.above else f"{self.low} or more"
            bound += "" if self.high == float("inf") else f" and at most {self.high}"
            raise argparse.ArgumentTypeError(f"{text} is not {bound}")
        return value


def any_word(text: str) -> str:
    """Return the text itself, which may be empty: an argparse type."""
    return text


_MAY_BE_EMPTY = (any_word,)
