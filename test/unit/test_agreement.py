"""Processes that were not started alike train nothing together: each ends, and one line says why."""

import json
import shutil

import pytest
from forks import run_together
from helpers import write_sst2

from tools.run.agreement import find_differences


@pytest.fixture
def start(pretrained, tmp_path, monkeypatch):
    """Call run_classifier.py in two processes, the second with flags that are its own, too."""
    monkeypatch.chdir(tmp_path)
    data = write_sst2(tmp_path / "SST-2", train=32, dev=8)
    words = ["--do_train", "--max_steps=2", "--device=cpu", "--data_dir", data, "--max_seq_length=32",
             "--model_name_or_path", pretrained, "--output_dir=out"]  # fmt: skip
    return lambda *others: run_together([words, [*words, *others]], tmp_path)


def other_data(folder, pretrained):
    return ["--data_dir", write_sst2(folder / "fewer", train=31)]


def other_words(folder, pretrained):
    data = write_sst2(folder / "words", train=32)
    file = data / "train.tsv"
    file.write_text(file.read_text().replace("film", "story", 1))
    return ["--data_dir", data]


def other_weights(folder, pretrained):
    shutil.copytree(pretrained, folder / "model")
    file = folder / "model" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    return ["--model_name_or_path", folder / "model"]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (["--batch_size=4"], "--batch_size: 8 on rank 0, 4 on rank 1"),
        (
            ["--do_eval", "--seed=1"],
            "--do_eval: False on rank 0, True on rank 1; --seed: 42 on rank 0, 1",
        ),
        (["--save_steps=1"], "--save_steps: 1000 on rank 0, 1 on rank 1"),
        (other_data, "train data: 32 examples ("),
        (other_words, "train data: 32 examples ("),
        (other_weights, "alike: the weights at the start: "),
    ],
)
def test_what_differs_is_named_with_its_ranks(start, tmp_path, pretrained, others, words):
    others = others(tmp_path, pretrained) if callable(others) else others
    first, second = start(*others)
    assert first[0] == second[0] == 2, (first, second)
    assert second[2] == ""
    (line,) = first[2].splitlines()
    assert line.startswith(
        "run_classifier.py: error: rank 0: the processes were not started alike: "
    )
    assert words in line
    assert line.endswith(": give all of them the same flags and files")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_processes_may_have_folders_and_workers_of_their_own(start, tmp_path):
    shutil.copytree(tmp_path / "SST-2", tmp_path / "copy")
    ends = start("--data_dir", tmp_path / "copy", "--workers=1", "--log_dir=logs")
    assert [status for status, *_ in ends] == [0, 0], ends


def test_many_ranks_are_counted():
    facts = [{"a": "1", "b": "x"}] + [{"a": "2", "b": "x"}] * 10
    (phrase,) = find_differences(facts)
    assert phrase == "a: 1 on rank 0, 2 on ranks 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"


def test_what_several_processes_score_is_what_was_saved(no_dropout, tmp_path):
    """In each layout, whichever of the two the training started from."""
    data = write_sst2(tmp_path / "SST-2", train=64)
    common = ["--device=cpu", "--max_seq_length=32", "--data_dir", data]

    def training(start, *flags):
        words = [
            *common,
            "--do_train",
            "--max_steps=2",
            "--learning_rate=1e-2",
            "--overwrite_output_dir",
        ]
        return [*words, "--model_name_or_path", start, *flags]

    first = run_together([training(no_dropout, "--output_dir", tmp_path / "start")], tmp_path)
    assert first[0][0] == 0, first
    config = json.loads((tmp_path / "start" / "config.json").read_text())
    (tmp_path / "start" / "config.json").write_text(
        json.dumps(config | {"classifier_input_shift": 0.0})
    )
    words = training(tmp_path / "start", "--do_predict", "--save_format=albert_pytorch")
    words += ["--output_dir", tmp_path / "out"]
    assert [end[0] for end in run_together([words, words], tmp_path)] == [0, 0]
    scored = (tmp_path / "out" / "predictions" / "SST-2.jsonl").read_text()
    alone = [*common, "--do_predict", "--model_name_or_path", tmp_path / "out"]
    alone += ["--output_dir", tmp_path / "out"]
    assert [end[0] for end in run_together([alone], tmp_path)] == [0]
    again = (tmp_path / "out" / "predictions" / "SST-2.jsonl").read_text()
    for one, two in zip(scored.splitlines(), again.splitlines(), strict=True):
        assert json.loads(one)["probabilities"] == pytest.approx(json.loads(two)["probabilities"])
