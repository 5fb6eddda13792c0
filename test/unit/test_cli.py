"""What every command shares: its flags in a group, its help, its errors, its exit status."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tools.cli.errors import USAGE_STATUS, UsageError
from tools.cli.groups import flag, parser_of
from tools.cli.parser import Number
from tools.cli.program import run_command


@dataclass(frozen=True)
class Base:
    batch_size: int = flag(8, "examples", type=Number(int, 1), metavar="N")


@dataclass(frozen=True)
class CopyFlags(Base):
    names: Sequence[str] = flag((), "what to copy", positional=True, nargs="*")
    to_lower: bool = flag(False, "in lower case")
    label: str | None = flag(None, "its label", aliases=("old_label",))

    def __post_init__(self):
        if self.label and not self.names:
            raise UsageError("--label needs a name")


PARSER = parser_of(CopyFlags, "copy", "Copies names.")


def test_a_group_is_filled_by_its_flags_in_either_spelling():
    flags, debug = PARSER.parse(["a", "b-c", "--to-lower", "--batch-size=3", "--label=x-y"])
    assert flags == CopyFlags(batch_size=3, names=["a", "b-c"], to_lower=True, label="x-y")
    assert not debug
    assert PARSER.parse(["--debug"]) == (CopyFlags(names=()), True)


def test_a_flag_may_have_another_name(capsys):
    for words in (["a", "--old_label=x"], ["a", "--old-label", "x"], ["a", "--label", "x"]):
        assert PARSER.parse(words)[0].label == "x"
    with pytest.raises(SystemExit):
        PARSER.parse(["--help"])
    text = capsys.readouterr().out
    assert text.count("its label") == 1
    assert re.search(r"--label \w+, --old_label", text)


def test_only_flags_are_spelled_with_underscores():
    """A value or a sentence that looks like a flag's name behind two other characters stays."""
    words = ["./label", "a label", "--label", "./to-lower"]
    assert PARSER.parse(words)[0] == CopyFlags(names=["./label", "a label"], label="./to-lower")


def test_help_shows_the_defaults_that_say_something(capsys):
    with pytest.raises(SystemExit):
        PARSER.parse(["--help"])
    text = capsys.readouterr().out
    assert re.search(r"--batch_size N +examples \(default: 8\)", text)
    assert text.count("default:") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--batch_size=0"], "argument --batch_size: 0 is not 1 or more; see --help"),
        (["--label=x"], "--label needs a name; see --help"),
        (["--batch-sise=1"], "unrecognized arguments: --batch-sise=1; see --help"),
    ],
)
def test_wrong_usage_is_one_line_before_the_command_starts(capsys, words, line):
    with pytest.raises(SystemExit) as end:
        run_command(PARSER, pytest.fail, words)
    assert end.value.code == USAGE_STATUS
    assert capsys.readouterr().err == f"copy: error: {line}\n"


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (143, 143)])
def test_the_exit_status_is_the_commands(monkeypatch, returned, status):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # This process keeps its handlers.
    assert run_command(PARSER, lambda flags: returned, ["a"]) == status
