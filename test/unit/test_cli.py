"""What every command shares: its flags in a group, its help, its errors, its exit status."""

import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from helpers import ROOT, command

from tools.cli.errors import USAGE_STATUS, UsageError, error_line
from tools.cli.groups import flag, parser_of
from tools.cli.log import _Formatter
from tools.cli.parser import Number, Parser, any_word
from tools.cli.program import run_command, run_program
from tools.cli.streams import say


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
        (
            ["--label="],
            "argument --label/--old_label: its value is empty: give it one, or leave the flag out; see",
        ),
        (["--batch-size", ""], "argument --batch_size: its value is empty"),
        (
            ["--label=\udcc4\udce3"],
            "b'--label=\\xc4\\xe3' is no text in UTF-8, this system's encoding",
        ),
        (["\udcb5"], "b'\\xb5' is no text in UTF-8"),
        (["a", "--x=1\n2"], "unrecognized arguments: --x=1\\n2; see --help"),
        (["--batch-sise=1"], "unrecognized arguments: --batch-sise=1; see --help"),
    ],
)
def test_wrong_usage_is_one_line_before_the_command_starts(capsys, words, line):
    with pytest.raises(SystemExit) as end:
        run_command(PARSER, pytest.fail, words)
    assert end.value.code == USAGE_STATUS
    said = capsys.readouterr().err
    assert said.startswith(f"copy: error: {line}")
    assert said.endswith("; see --help\n")
    assert said.count("\n") == 1


def test_words_that_say_nothing_and_arguments_may_be_empty():
    parser = Parser("copy")
    parser.add_argument("--kind", type=any_word)
    parser.add_argument("text")
    flags, _ = parser.parse(["--kind=", ""])
    assert (flags.kind, flags.text) == ("", "")


PROGRAM = """
import sys, time
from tools.cli.errors import UsageError
from tools.cli.program import run_program
def main():
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(0.1)
sys.exit(run_program(main, "it", debug=False))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_in_a_row_say_one_line(number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.readline()
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.005)
    _, errors = process.communicate()
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    assert (process.returncode, errors) == (128 + number, f"it: {word}\n")


def wrong():
    raise UsageError("it is wrong")


@pytest.mark.parametrize("rank", [0, 1])
def test_wrong_usage_of_one_process_of_several_is_said(monkeypatch, tmp_path, capsys, rank):
    """By the first, and where nobody gathers what they found, by each."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # This process keeps its handlers.
    monkeypatch.setattr("tools.cli.program._end_though_stuck", lambda: None)
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    assert run_program(wrong, "it", debug=False, rank=rank) == USAGE_STATUS
    assert capsys.readouterr().err == f"it: error: rank {rank}: it is wrong\n"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert run_program(wrong, "it", debug=False, rank=rank) == USAGE_STATUS
    assert capsys.readouterr().err == ("" if rank else "it: error: rank 0: it is wrong\n")
    assert json.loads((tmp_path / "error.json").read_text())["message"].endswith("it is wrong")


def test_closed_streams_lead_nowhere(tmp_path):
    """A file that is opened later must not get the number of one."""
    code = (
        "import sys, tools.cli.streams as s; s.open_closed_streams(); "
        "number = open(sys.argv[1], 'w').fileno(); print('lost'); print('lost', file=sys.stderr); "
        "sys.stdin.read(); sys.exit(number)"
    )
    words = (sys.executable, "-c", code, tmp_path / "file")
    for closed in ("<&- >&- 2>&-", ">&-"):
        result = command("bash", "-c", f'"$@" {closed}', "bash", *words, cwd=ROOT)
        assert result.returncode > 2, closed
        assert (tmp_path / "file").read_text() == ""


def test_what_a_terminal_would_obey_is_shown(monkeypatch, capsys):
    text = "\x1b[2J a\tfilm\r\x9b31m"
    say(text)  # A file gets it as it is.
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    say(text)
    shown = "\\x1b[2J a\tfilm\\x0d\\x9b31m"
    assert capsys.readouterr().out == f"{text}\n{shown}\n"
    assert error_line(ValueError("\x1b[2J")) == "\\x1b[2J"
    assert error_line(OSError(2, "No such file", "\x1b[2J")) == "\\x1b[2J: No such file"
    for error in (ValueError("x" * 10**6), OSError(36, "File name too long", "x" * 10**6)):
        assert len(error_line(error)) < 2100
    record = logging.LogRecord("a", logging.WARNING, "", 0, "%s", ("\x1b[2J",), None)
    assert _Formatter().format(record) == "warning: \\x1b[2J"


def test_ctrl_c_while_packages_are_imported_is_one_line(tmp_path):
    code = "import tools.cli.require_packages; raise KeyboardInterrupt"
    result = command(sys.executable, "-c", code, cwd=ROOT)
    assert (result.returncode, result.stderr) == (-signal.SIGINT, "-c: interrupted\n")


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (143, 143)])
def test_the_exit_status_is_the_commands(monkeypatch, returned, status):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # This process keeps its handlers.
    assert run_command(PARSER, lambda flags: returned, ["a"]) == status


def test_the_version_is_that_of_the_project(capsys):
    with pytest.raises(SystemExit) as end:
        PARSER.parse(["--version"])
    assert end.value.code == 0
    (version,) = re.findall(
        r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert re.fullmatch(
        rf"copy {re.escape(version)} \(torch \S+, Python \S+\)\n", capsys.readouterr().out
    )


def test_a_flag_without_a_value_may_say_true_or_false():
    assert PARSER.parse(["--to-lower=True"])[0].to_lower
    assert not PARSER.parse(["--to_lower", "--to_lower=false"])[0].to_lower
    assert PARSER.parse(["--to_lower=false", "--to_lower"])[0].to_lower
