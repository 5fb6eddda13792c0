"""Flags from a file: TOML, JSON, and what a run wrote down itself."""

import json
import sys

import pytest
from helpers import ROOT, command, records

from tools.run.flags import parse_flags

TOML = """
do_train = true
do_eval = true
batch-size = 4
learning_rate = 1e-4
warmup_ratio = 0.2  # run_glue.py's name
fp16 = true
label_order = ["a, b", "c"]
"""


@pytest.fixture
def config(tmp_path):
    """Write a file; returns its path."""

    def write(name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def parsed(*words):
    return parse_flags([str(word) for word in words])


def test_a_file_gives_flags_and_those_of_the_command_line_win(config):
    pytest.importorskip("tomllib", reason="Python 3.10 has no reader for TOML")
    file = config("run.toml", TOML.replace('label_order = ["a, b", "c"]\n', ""))
    flags = parsed("--batch_size=16", "--config", file, "--fp16=false", "--eval_steps", 5)
    assert flags.goals.do_train
    assert flags.goals.do_eval
    training = flags.training
    assert (training.batch_size, training.learning_rate, training.fp16) == (16, 1e-4, False)
    assert (training.warmup_proportion, flags.records.eval_steps) == (0.2, 5)
    assert parsed("--config", file).training.fp16
    file = config("run.toml", TOML.replace("do_train = true", ""))
    assert parsed(f"--config={file}").inputs.label_order == ("a, b", "c")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", {"batch_sise": 4}, "a.json: batch_sise is no flag; batch_size is one"),
        ("a.json", {"batch_size": "many"}, "a.json: batch_size: 'many' is no whole number"),
        ("a.json", {"batch_size": "x" * 10**7}, "xxx' is no whole number"),
        ("a.json", {"optimizer": "x"}, "a.json: optimizer: invalid choice: 'x'"),
        ("a.json", {"do_train": 3}, "a.json: do_train: '3' is not true or false"),
        ("a.json", {"batch_size": {"n": 1}}, "a.json: batch_size is a table: a flag's value is"),
        ("a.json", '{"seed": 1, "seed": 2}', "a.json is no JSON: 'seed' stands there twice"),
        ("a.json", "[1]", "a.json is no object of flags"),
        ("a.json", "[" * 100_000, "a.json is no JSON: its values lie too deep in each other"),
        ("a.toml", "batch_size = ", "a.toml is no TOML"),
        ("b.json", "{}", "a.json is missing"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(config, refused, name, content, said):
    file = config(name, content)
    if name == "a.toml":
        pytest.importorskip("tomllib", reason="Python 3.10 has no reader for TOML")
    file = file.with_name("a.json") if name == "b.json" else file
    line = refused("--config", file, "--do_train", status=2)
    assert said in line
    assert len(line) < 3000


def test_a_record_with_wrong_values_is_one_line(config, refused):
    recorded = dict.fromkeys(("splits", "eval_batch_given", "model_given", "output_dir_given"), [])
    file = config("run.json", {"flags": {**recorded, "do_train": True, "save_steps": "x"}})
    line = refused("--config", file, "--output_dir", "new", status=2)
    assert "save_steps: 'x' is no whole number" in line


def test_toml_without_a_reader_is_one_line(config, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    line = refused("--config", config("a.toml", "seed = 1"), "--do_train", status=2)
    assert "TOML is read by Python 3.11 and later, or with the package tomli" in line
    assert "write it as JSON" in line


def test_a_run_is_repeated_by_its_own_record(run_classifier, refused, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--do_train", "--max_steps", 3, "--learning_rate", "1e-2",
             "--save_steps", 0, "--seed", 7, "--output_dir", "first")  # fmt: skip
    assert run_classifier(*flags, "--overwrite_output_dir").returncode == 0
    file = tmp_path / "first" / "training_args.json"
    assert "name a folder for the new one" in refused("--config", file, status=2)
    # A run's own record has the flags in a part of it.
    (tmp_path / "run.json").write_text(
        json.dumps({"format": 1, "flags": json.loads(file.read_text())})
    )
    words = ("--config", "run.json", "--output_dir", "second")
    result = command(sys.executable, ROOT / "run_classifier.py", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = (records(tmp_path / name, "step") for name in ("first", "second"))
    assert [row["loss"] for row in first] == [row["loss"] for row in second]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]
