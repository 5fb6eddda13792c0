"""The command line of every command here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tools.cli.config_file import as_words, read_config
from tools.cli.errors import USAGE_STATUS, UsageError, error_line
from tools.cli.naming import as_typed, program_name
from tools.cli.other_names import OtherNames
from tools.cli.version import version_line
from tools.cli.visible import shortened, visible

FromConfig = Callable[[Path, Mapping[str, Any], Sequence[str]], Mapping[str, Any]]
_CONFIG = "--config"
_TRUTH = {"true": True, "false": False}


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description, and shows the default of each flag that has one."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)

    def _get_help_string(self, action: argparse.Action) -> str:
        hidden = (argparse.SUPPRESS, None, True, False, ())
        shown = not any(action.default is value for value in hidden)
        return f"{action.help} (default: %(default)s)" if shown else action.help


class _ShowVersion(argparse.Action):
    """Prints the version, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(parser.prog, version_line())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """Its errors are one line, it has ``--debug``, and ``--batch-size`` is ``--batch_size``.

    The line ends with ``advice``. A flag without a value may have one, ``--fp16=true``; ``--fp16=false``
    takes back what was said of it before.

    Args:
        prog: the command's name in its messages, in a checkout.
        complete: turns the namespace of the flags into what the command works with. A
            :class:`UsageError` of it is an error of the command line.
        debug_help: what ``--debug`` does.
        others: other systems' names of the flags. What it has to remark is ``remarks`` of the namespace.
        from_config: makes the values of the flags of what a file says, given the file and the words typed
            beside it; None for a command without ``--config FILE``.
        options: those of :class:`argparse.ArgumentParser`.
    """

    advice = "; see --help"

    def __init__(
        self,
        prog: str,
        complete: Callable[[argparse.Namespace], Any] = lambda flags: flags,
        debug_help: str = "on an error, show where in the code it happened",
        others: OtherNames | None = None,
        from_config: FromConfig | None = None,
        **options: Any,
    ) -> None:
        options |= {"allow_abbrev": False, "formatter_class": _HelpFormatter}
        super().__init__(prog=program_name(prog), **options)
        self._complete, self._others, self._from_config = complete, others, from_config
        self.add_argument("--debug", action="store_true", help=debug_help)
        self.add_argument(
            "--version", action=_ShowVersion, nargs=0, help="show the version and exit"
        )
        if from_config:
            text = "flags as TOML or JSON, or run.json of a run to repeat; those typed here win"
            self.add_argument(_CONFIG, metavar="FILE", help=text)

    def parse(self, words: Sequence[str]) -> tuple[Any, bool]:
        """Return what ``complete`` makes of the flags, and whether ``--debug`` is among them.

        Wrong usage ends the program with one line and exit status 2.
        """
        self.check_text(words)
        words = [self._with_underscores(word) for word in words]
        namespace = argparse.Namespace(remarks=())
        try:
            words = [*self._words_of_files(words), *words]
            if self._others:
                words, namespace.remarks = self._others.translate(words, self._switches())
            flags = self.parse_args(self._settled(words), namespace)
            return self._complete(flags), flags.debug
        except UsageError as error:
            self.error(str(error))
        except OSError as error:  # Of a name that is too long for a file, say.
            self.error(error_line(error))

    def format_help(self) -> str:
        """Return the help, with the commands as they are to be typed here."""
        return as_typed(super().format_help())

    def _words_of_files(self, words: Sequence[str]) -> Iterator[str]:
        """Yield what the files of ``--config`` say, as words of the command line.

        Raises:
            UsageError: a file cannot be read, or says something that no flag says.
        """
        if not self._from_config:
            return
        following = [*words[1:], ""]
        for word, after in zip(words, following, strict=True):
            flag, equals, value = word.partition("=")
            if flag == _CONFIG and (value or after):
                file = Path(value if equals else after)
                values = self._from_config(file, read_config(file), words)
                own = {"--help", "--version", _CONFIG}
                names = [name for name in self._option_string_actions if name not in own]
                names += self._others.names if self._others else ()
                for said in as_words(file, values, [name.removeprefix("--") for name in names]):
                    self._check_value_of(file, said)
                    yield said

    def _check_value_of(self, file: Path, word: str) -> None:
        flag, _, value = word.partition("=")
        action = self._option_string_actions.get(flag)
        if action is None or (action.nargs == 0 and value in _TRUTH):
            return
        try:
            if action.nargs == 0:
                raise argparse.ArgumentError(None, f"{value!r} is not true or false")
            self._get_values(action, [value])
        except argparse.ArgumentError as error:
            raise UsageError(f"--config {file}: {flag[2:]}: {error.message}") from error

    def _switches(self) -> set[str]:
        """Return the flags that have no value."""
        actions = self._option_string_actions.items()
        return {flag for flag, action in actions if action.nargs == 0 and action.const is not None}

    def _settled(self, words: Sequence[str]) -> list[str]:
        """Return the words with ``--flag=true`` as ``--flag``, without what ``--flag=false`` undoes."""
        settled: list[str] = []
        switches = self._switches()
        for index, word in enumerate(words):
            if word == "--":  # What follows is for somebody else.
                return [*settled, *words[index:]]
            flag, equals, value = word.partition("=")
            truth = _TRUTH.get(value.lower()) if equals and flag in switches else None
            if truth is False:
                names = self._option_string_actions[flag].option_strings
                settled = [other for other in settled if other not in names]
            else:
                settled.append(flag if truth else word)
        return settled

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
        others = self._others.names if self._others else ()
        known = spelled in self._option_string_actions or spelled in others
        return spelled + equals + value if known else word

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with exit status 2."""
        # A word may have line breaks, or be as long as a file.
        line = as_typed(shortened(visible(message.replace("\n", "\\n"))))
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
