"""tools/predict.py gives what --do_predict gives."""

import json
import os
import subprocess
import sys

import pytest
from helpers import ROOT, command

TOOL = ROOT / "tools" / "predict.py"


def trained(run_classifier, folder, task):
    flags = ("--do_train", "--do_predict", "--max_steps", "3", "--learning_rate", "1e-2")
    names = ("--task_name", task, "--data_dir", folder, "--output_dir", "out")
    result = run_classifier(*names, *flags)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
def test_predictions_are_those_of_the_submission(run_classifier, sst2, stsb, tmp_path, task):
    folder = {"sst-2": sst2, "sts-b": stsb}[task]
    trained(run_classifier, folder, task)
    rows = [line.split("\t") for line in (folder / "test.tsv").read_text().splitlines()[1:]]
    texts = [row[1] if task == "sst-2" else "\t".join(row[2:4]) for row in rows]
    (tmp_path / "texts").write_text("\n".join([*texts, "", ""]))
    flags = ("--model", "out", "--file", "texts", "--max_seq_length", "32")
    result = command(sys.executable, TOOL, *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    submitted = (tmp_path / "out" / "predictions" / f"{task.upper()}.jsonl").read_text()
    for text, line, expected in zip(
        texts, result.stdout.splitlines(), submitted.splitlines(), strict=True
    ):
        ours, theirs = json.loads(line), json.loads(expected)
        assert ours["text"] == text
        assert ours["prediction"] == theirs["prediction"]
        if task == "sst-2":
            assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)
        else:
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)


def test_sentences_come_as_arguments_or_on_standard_input(run_classifier, sst2, tmp_path):
    trained(run_classifier, sst2, "sst-2")
    words = [sys.executable, str(TOOL), "--model", "out"]
    argued = command(*words, "a fine film", "a dull film", cwd=tmp_path)
    piped = subprocess.run(
        words,
        input="a fine film\n\na dull film\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert argued.stdout == piped.stdout
    assert len(piped.stdout.splitlines()) == 2


def test_text_is_utf8_in_every_locale_and_what_is_not_is_told(run_classifier, sst2, tmp_path):
    trained(run_classifier, sst2, "sst-2")

    def ask(text):
        return subprocess.run(
            [sys.executable, TOOL, "--model", "out"],
            input=text,
            cwd=tmp_path,
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            check=False,
        )

    result = ask("\ufeffun film tr\u00e8s \u00e9mouvant\n".encode())
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["text"] == "un film tr\u00e8s \u00e9mouvant"
    for text, words in (
        ("un film \u00e9mouvant".encode("latin-1"), b"standard input is not UTF-8"),
        (
            b"a film\n\na film\tits end\n",
            b"standard input, line 3: a pair (with a tab), where line 1",
        ),
    ):
        result = ask(text)
        assert (result.returncode, result.stdout) == (1, b"")
        assert words in result.stderr
        assert result.stderr.count(b"\n") == 1


def test_an_untrained_folder_is_refused(pretrained, tmp_path):
    result = command(sys.executable, TOOL, "--model", pretrained, "film", cwd=tmp_path)
    assert result.returncode == 2
    assert "holds no trained classifier" in result.stderr
    assert result.stderr.count("\n") == 1
