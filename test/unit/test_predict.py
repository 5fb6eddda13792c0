"""tools/predict.py gives what --do_predict gives, for each input in its place."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forkrelay import tied
from helpers import ROOT, command

from model.checkpoint import load_model, save_model
from model.configuration_albert import AlbertConfig
from processors.features import build_features
from processors.reading import Examples
from tools import predict
from tools.machine.device import Device
from tools.run.scoring import compute_logits

TOOL = ROOT / "tools" / "predict.py"


def trained(run_classifier, folder, task):
    flags = ("--do_train", "--do_predict", "--max_steps", "3", "--learning_rate", "1e-2")
    names = ("--task_name", task, "--data_dir", folder, "--output_dir", "out")
    result = run_classifier(*names, *flags)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
def test_predictions_are_those_of_the_submission(run_classifier, sst2, stsb, tmp_path, task):
    folder = {"sst-2": sst2, "sts-b": stsb}[task]
    # The test file's own numbers of its rows stand in the submission.
    text = (folder / "test.tsv").read_text().replace("\n3\t", "\n33\t")
    (folder / "test.tsv").write_text(text)
    trained(run_classifier, folder, task)
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    texts = [row[1] if task == "sst-2" else "\t".join(row[2:4]) for row in rows]
    (tmp_path / "texts").write_text("\n".join([*texts, "", ""]))
    flags = ("--model", "out", "--file", "texts", "--max_seq_length", "32")
    result = command(sys.executable, TOOL, *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    *lines, blank = map(json.loads, result.stdout.splitlines())
    assert (blank["id"], blank["text"], blank["prediction"]) == (11, "", None)
    submission = tmp_path / "out" / "predictions" / f"{task.upper()}.tsv"
    cells = [line.split("\t") for line in submission.read_text().splitlines()[1:]]
    submitted = map(json.loads, submission.with_suffix(".jsonl").read_text().splitlines())
    for number, text, row, cell, ours, theirs in zip(
        range(1, 11), texts, rows, cells, lines, submitted, strict=True
    ):
        assert (ours["id"], ours["text"]) == (number, text)
        assert (str(theirs["index"]), cell[0]) == (row[0], row[0])
        assert ours["prediction"] == theirs["prediction"]
        if task == "sst-2":
            assert cell[1] == ours["prediction"]
            assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)
        else:
            assert cell[1] == f"{ours['prediction']:.3f}"
            assert isinstance(ours["prediction"], float)
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
    # The folder says what it was trained on, and another kind is refused.
    config = AlbertConfig.from_file(tmp_path / "out")
    assert config.has_pairs == (task == "sts-b")


def test_text_is_utf8_in_every_locale(small_model, tmp_path):
    result = subprocess.run(
        tied([sys.executable, str(TOOL), "--model", str(small_model(False))]),
        input="\ufeffun film tr\u00e8s \u00e9mouvant\n".encode(),
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["text"] == "un film tr\u00e8s \u00e9mouvant"


def test_results_stand_in_the_order_and_number_of_the_lines(small_model, ask):
    folder = small_model(False)
    texts = ["a fine film", "", "a dull film", "  ", "", "a story by the sea, in the city"]
    status, found, errors = ask(folder, data="\r\n".join(texts).encode())
    assert (status, errors) == (0, "")
    assert [record["id"] for record in found] == [1, 2, 3, 4, 5, 6]
    assert [record["text"] for record in found] == texts
    assert [record["prediction"] is None for record in found] == [not t.strip() for t in texts]
    assert {tuple(record) for record in found} == {("id", "text", "prediction", "probabilities")}
    status, argued, _ = ask(folder, *texts)
    assert (status, argued) == (0, found)
    (alone,) = ask(folder, texts[-1])[1]
    assert alone["probabilities"] == pytest.approx(found[-1]["probabilities"], abs=1e-6)


def test_nothing_in_nothing_out(small_model, ask):
    assert ask(small_model(False)) == (0, [], "")
    status, found, _ = ask(small_model(False), data=b"\n")
    assert (status, [record["prediction"] for record in found]) == (0, [None])


def test_more_than_one_chunk(small_model, ask, monkeypatch):
    monkeypatch.setattr(predict, "_CHUNK", 2)
    texts = ["a film", "", "", "", "the sea"]
    status, found, _ = ask(small_model(False), data="\n".join(texts).encode())
    assert status == 0
    assert [(record["id"], record["text"]) for record in found] == list(enumerate(texts, start=1))


def test_a_pair_is_classified_as_in_training(small_model, ask, tokenizer):
    folder = small_model(True, labels=None)
    status, found, _ = ask(folder, "a film\tthe film", "\tthe film")
    assert status == 0
    examples = Examples(["a film", ""], ["the film", "the film"])
    features = build_features(examples, tokenizer, 32, is_regression=False)
    model = load_model(folder, AlbertConfig.from_file(folder)).eval()
    logits = compute_logits(model, features, Device("cpu"), 2, 32)
    assert [record["score"] for record in found] == pytest.approx(logits[:, 0].tolist(), abs=1e-6)
    assert found[0]["text"] == "a film\tthe film"


@pytest.mark.parametrize(
    ("has_pairs", "lines", "words"),
    [
        (True, "a\tb\nalone\n", "2 has no tab in it: the model was trained on pairs, with one tab"),
        (True, "a\tb\tc\n", "1 has 2 tabs in it: the model was trained on pairs"),
        (False, "a\n\na\tb\n", "3 has a tab in it: the model was trained on single sentences"),
        (None, "a\n\na\tb\n", "3 has a tab in it: after NAME 1 all must be single sentences"),
        (None, "\na\tb\nalone\n", "3 has no tab in it: after NAME 2 all must be pairs"),
    ],
)
def test_pairs_and_single_sentences_are_told_apart(small_model, ask, has_pairs, lines, words):
    folder = small_model(has_pairs)
    status, found, errors = ask(folder, data=lines.encode())
    assert (status, found) == (1, [])
    assert f"standard input, line {words.replace('NAME', 'line')}" in errors
    status, found, errors = ask(folder, *lines.split("\n")[:-1])
    assert (status, found) == (2, [])
    assert f"the arguments, sentence {words.replace('NAME', 'sentence')}" in errors
    assert errors.count("\n") == 1


def test_a_folder_that_does_not_say_takes_either(small_model, ask):
    folder = small_model(None)
    assert "sentence_pairs" not in (folder / "config.json").read_text()
    assert [ask(folder, text)[0] for text in ("a film", "a film\tthe film")] == [0, 0]


def test_a_vocabulary_of_another_model_is_refused(small_model, ask):
    folder = small_model(False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 20}))
    status, found, errors = ask(folder, "a film")
    assert (status, found) == (1, [])
    assert "pieces, but the model's vocab_size is 20" in errors


def test_a_table_is_read_as_in_training(small_model, ask, tmp_path):
    folder = small_model(False)
    text = '\ufeffid,review\r\n7,"good, really\r\nyes"\r\n8,\r\n9,"a ""fine"" film"\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    flags = ("--file", "t.csv", "--text_columns", "review")
    status, found, errors = ask(folder, *flags)
    assert (status, errors) == (0, "")
    assert [record["id"] for record in found] == [2, 4, 5]
    assert [record["text"] for record in found] == ["good, really\r\nyes", "", 'a "fine" film']
    assert [record["prediction"] is None for record in found] == [False, True, False]
    (tmp_path / "t.csv").write_bytes("id,review\n1,très\n".encode("cp1252"))
    status, found, errors = ask(folder, *flags)
    assert (status, found) == (1, [])
    assert "t.csv, line 2: not UTF-8, probably cp1252" in errors
    status, found, _ = ask(folder, *flags, "--encoding", "cp1252")
    assert (status, found[0]["text"]) == (0, "très")


def test_blank_lines_of_a_table_are_as_the_help_says(small_model, ask, tmp_path):
    folder, flags = small_model(False), ("--file", "t.csv", "--text_columns", "review")
    for text, ids in (
        ("id,review\n1,a film\n2,\n\n  \n", [2, 3]),
        ("review\na film\n\n", [2, 3]),
    ):
        (tmp_path / "t.csv").write_text(text)
        status, found, errors = ask(folder, *flags)
        assert (status, errors, [record["id"] for record in found]) == (0, "", ids)
        assert [record["prediction"] is None for record in found] == [False, True]
    (tmp_path / "t.csv").write_text("id,review\n1,a film\n\n2,a film\n")
    status, found, errors = ask(folder, *flags)
    assert (status, found) == (1, [])
    assert "t.csv, line 3: a blank line between rows" in errors


def test_both_columns_of_a_pair(small_model, ask, tmp_path):
    (tmp_path / "t.txt").write_text("a\tb\tc\nthe film\tx\ta film\n")
    flags = ("--file", "t.txt", "--text_columns", "c,a")
    status, found, _ = ask(small_model(True), *flags)
    assert (status, found[0]["text"]) == (0, "a film\tthe film")
    status, found, errors = ask(small_model(False), *flags)
    assert (status, found) == (2, [])
    assert "--text_columns c,a: 2 for a model that was trained on single texts: give 1" in errors


@pytest.mark.parametrize(
    ("words", "data", "status", "line"),
    [
        (["--file", "t.csv"], b"sentence\na\n", 2, "t.csv is a table by its name, and the model does not"),
        (["--file", "T.TSV"], b"sentence\na\n", 2, "T.TSV is a table by its name"),
        (["--file", "t.csv", "--text_columns", "review"], b"sentence\na\n", 1,
         "t.csv, line 1: no column 'review' among 'sentence': a header line with review is needed; "
         "--text_columns says which"),
        (["--text_columns", "a"], b"", 2, "--text_columns names columns of a table: give it with --file"),
        (["--text_columns", "a,b,c", "--file", "t"], b"", 2, "'a,b,c' is not one column, or two"),
        (["--file", "no"], None, 2, "--file no is missing"),
        (["--file", "."], None, 2, "--file . is a folder: name a file with a sentence a line, or a table"),
        (["--file", "t.txt", "--text_columns", "text"], b'{"text": "a"}\n{"text": "b"}\n', 1,
         "t.txt is JSON lines: rename it to t.jsonl"),
        (["--file", "t.gz"], b"\x1f\x8b\x08", 1, "t.gz is a gzip file that is cut off"),
        (["--file", "t"], "très\n".encode("latin-1"), 1, "t, line 1: not UTF-8, probably cp1252"),
        (["--file", "t"], b"a\rb\r", 1, "t: its lines end in CR alone"),
        (["--encoding", "gbk", "a film"], b"", 2, "--encoding gbk is about --file and standard input"),
        (["--encoding", "klingon"], b"", 2, "'klingon' is no encoding that Python knows"),
        (["caf\udce9"], b"", 2, r"b'caf\xe9' is no text in UTF-8, this system's encoding: type it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(small_model, ask, tmp_path, words, data, status, line):
    if "--file" in words and data is not None:
        (tmp_path / words[words.index("--file") + 1]).write_bytes(data)
    found, printed, errors = ask(small_model(False), *words)
    assert (found, printed) == (status, [])
    assert line in errors
    assert errors.count("\n") == 1


def test_lines_of_json_are_lines_of_text(small_model, ask, tmp_path):
    folder, lines = small_model(False), ['{"text": "a"}', '{"text": "b"}']
    (tmp_path / "app.log").write_text("\n".join(lines))
    for words, data in (((), "\n".join(lines).encode()), (("--file", "app.log"), b"")):
        status, found, errors = ask(folder, *words, data=data)
        assert (status, [record["text"] for record in found]) == (0, lines), errors


def test_a_model_of_another_type_is_not_scored(small_model, ask):
    folder = small_model(False)
    values = json.loads((folder / "config.json").read_text())
    values["problem_type"] = "token_classification"
    (folder / "config.json").write_text(json.dumps(values))
    status, found, errors = ask(folder, "a film")
    assert (status, found) == (1, [])
    assert f"{folder}/config.json: problem_type is 'token_classification', and only" in errors


def test_standard_input_in_another_encoding(small_model, ask):
    folder, text = small_model(False), "un film très émouvant"
    status, found, errors = ask(folder, data=text.encode("latin-1"))
    assert (status, found) == (1, [])
    assert "standard input, line 1: not UTF-8, probably cp1252" in errors
    assert "pipe it through iconv -f WINDOWS-1252 -t UTF-8" in errors
    status, found, _ = ask(folder, "--encoding=latin-1", data=text.encode("latin-1"))
    assert (status, found[0]["text"]) == (0, text)


def test_a_reader_that_has_enough_is_no_fault(small_model, ask, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert ask(small_model(False), "a film", "a story") == (128 + signal.SIGPIPE, [], "")


def test_a_full_standard_output_is_named(small_model, ask, monkeypatch):
    with Path("/dev/full").open("w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        status, _, errors = ask(small_model(False), "a film")
    assert (status, errors) == (1, "predict: error: standard output: No space left on device\n")


def warnings_of(caplog):
    found = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    caplog.clear()
    return found


def test_outputs_that_are_all_alike_are_warned_of_once(small_model, ask, monkeypatch, caplog):
    monkeypatch.setattr(predict, "_CHUNK", 4)
    folder = small_model(False)
    model = load_model(folder, AlbertConfig.from_file(folder))
    model.classifier.bias.data += torch.tensor([0.0, 9.0])
    save_model(model, folder)
    texts = [
        f"a {word} film"
        for word in (
            "good",
            "bad",
            "fine",
            "dull",
            "new",
            "old",
            "sad",
            "big",
            "poor",
            "great",
            "bold",
            "rare",
        )
    ]
    _, found, _ = ask(folder, *texts)
    # All of one class, of which the model is sure: they may well be.
    assert {record["prediction"] for record in found} == {"good"}
    assert warnings_of(caplog) == []
    model.classifier.weight.data *= 0.001
    save_model(model, folder)
    status, found, _ = ask(folder, *texts)
    assert (status, len(found)) == (0, 12)
    (line,) = warnings_of(caplog)
    assert (
        "the outputs for the 12 different inputs of the input are nearly the same: the model"
        in line
    )
    for few in (texts[:9], texts[:9] * 2):  # One text has one result.
        ask(folder, *few)
        assert warnings_of(caplog) == []


def test_texts_of_another_language_are_warned_of_once(small_model, ask, monkeypatch, caplog):
    monkeypatch.setattr(predict, "_CHUNK", 2)
    folder = small_model(False)
    ask(folder, *["\u8fd9 \u90e8 \u7535\u5f71"] * 3)
    (line,) = warnings_of(caplog)
    assert "50 % of the tokens of the input are unknown to the vocabulary: perhaps" in line
    assert "give --model a model of theirs" in line
    ask(folder, "a fine film by the sea \u2603")
    assert warnings_of(caplog) == []  # A rare sign is no other language.
