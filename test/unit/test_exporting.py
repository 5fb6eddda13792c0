"""tools/export.py makes a folder that others can use, of what was checked, or none."""

import json
import shutil
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from forkrelay import tied
from helpers import ROOT, sentences, write_sst2

from model.configuration_albert import AlbertConfig
from processors.batching import BatchPlan
from processors.features import build_features
from processors.glue import TASKS
from processors.loading import BatchBuilder
from processors.reading import Examples
from tools import export
from tools.cli.errors import UsageError
from tools.exporting import check
from tools.exporting.check import check_int8, check_same
from tools.exporting.dev_set import find_dev_set
from tools.exporting.folder import check_output, writing_folder
from tools.exporting.onnx_network import padded_arrays
from tools.exporting.source import Source
from tools.run.scores import Scores

SECRET = "secret-place"  # of this machine: nothing that is shipped may name it


@pytest.fixture
def trained(small_model, tmp_path):
    """A model with the flags of its training beside it, and the dev set that they name."""
    folder = small_model(False, labels=("0", "1"))
    config = AlbertConfig.from_file(folder)
    config.set_inputs(32, "tail")
    (folder / "config.json").write_text(config.to_json())
    data = write_sst2(tmp_path / SECRET)
    flags = {"task_name": "sst-2", "data_dir": str(data), "learning_rate": 0.003}
    flags |= {"model_name_or_path": str(data / "albert_tiny")}
    (folder / "training_args.json").write_text(json.dumps(flags))
    return folder


@pytest.fixture
def exports(capsys):
    """Call tools.export in this process; return its status and what it says on either stream."""

    def call(*words):
        try:
            status = export.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def metadata_of(card):
    _, head, _ = card.split("---\n", 2)
    pairs = (line.split(": ", 1) for line in head.splitlines())
    return {key: json.loads(value) for key, value in pairs}


def test_an_export_is_a_model_with_its_card(trained, exports, ask, tmp_path):
    out = tmp_path / "shipped"
    status, said, errors = exports("--model", trained, "--output", out, "--license", "mit")
    assert (status, errors) == (0, "")
    assert "dev.tsv (30 examples): acc 0." in said
    assert ask(out, "a fine film")[1] == ask(trained, "a fine film")[1]
    card = (out / "README.md").read_text()
    assert not [file for file in out.iterdir() if SECRET in file.read_text(errors="replace")]
    found = metadata_of(card)
    assert (found["license"], found["library_name"]) == ("mit", "transformers")
    assert "language" not in found
    ((result,),) = (index["results"] for index in found["model-index"])
    (metric,) = result["metrics"]
    low, high = metric["args"]["confidence_interval_95"]
    assert metric["type"] == "accuracy"
    assert low < metric["value"] < high
    assert result["dataset"]["args"]["examples"] == 30
    assert "| `--learning_rate` | `0.003` |" in card
    assert "would reach" not in card
    # transformers cuts texts as in the training.
    tokenizer = json.loads((out / "tokenizer_config.json").read_text())
    assert (tokenizer["model_max_length"], tokenizer["truncation_side"]) == (32, "left")

    # It takes the place of itself, as long as nobody has changed it. A run.json tells more.
    before = sorted(tmp_path.iterdir())
    sha256 = result["dataset"]["args"]["sha256"]
    dev = {"path": f"/{SECRET}/dev.tsv", "sha256": sha256, "rows": 30, "cut": 4}
    run = {"data": {"dev": dev}, "baseline": {"acc": 0.53, "class": "1"}, "steps": 77}
    run["flags"] = json.loads((trained / "training_args.json").read_text())
    (trained / "run.json").write_text(json.dumps(run))
    assert exports("--model", trained, "--output", out)[0] == 0
    card = (out / "README.md").read_text()
    assert SECRET not in card
    assert "license" not in metadata_of(card)
    assert "Always `1` would reach: acc 0.5300." in card
    assert f"| dev | `dev.tsv` | 30 | 4 | `{sha256}` |" in card
    assert "steps: `77`" in card
    (out / "README.md").write_text("my own words")
    status, _, errors = exports("--model", trained, "--output", out)
    assert status == 2
    assert "README.md in it is not as it was written" in errors
    assert (out / "README.md").read_text() == "my own words"
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_but_an_export_is_written_over(trained, exports, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "of mine").touch()
    (tmp_path / "file").touch()
    for output, words in (
        (notes, "is there, and no export"),
        (tmp_path / "file", "is there and no folder"),
        (trained, "is the folder of --model"),
    ):
        status, _, errors = exports("--model", trained, "--output", output)
        assert status == 2
        assert words in errors
    assert [file.name for file in notes.iterdir()] == ["of mine"]


def test_networks_are_not_dropped_unasked(tmp_path):
    with writing_folder(tmp_path / "out", {}) as folder:
        (folder / "model.onnx").write_text("a network")
    check_output(tmp_path / "out", tmp_path / "model", ["model.onnx"])
    with pytest.raises(UsageError, match="this one would not have: add --onnx, name another"):
        check_output(tmp_path / "out", tmp_path / "model")
    with suppress(ValueError), writing_folder(tmp_path / "out", {}) as folder:
        (folder / "model.onnx").write_text("another")
        raise ValueError("it is refused")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.onnx").read_text() == "a network"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--int8",), "--int8 is about the network that --onnx writes"),
        (("--onnx",), "python3 -m pip install onnx"),
        (("--license", "Not a name"), "is no name that the hub has"),
        (("--dev_file", "nowhere.csv"), "--dev_file nowhere.csv is missing"),
    ],
)
def test_what_cannot_be_is_refused(trained, exports, tmp_path, monkeypatch, flags, words):
    monkeypatch.setitem(sys.modules, "onnx", None)  # So it is where it is not installed.
    status, _, errors = exports("--model", trained, "--output", tmp_path / "out", *flags)
    assert status == 2
    assert words in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_the_training_s_data_random_inputs_are_checked(trained, exports, tmp_path):
    shutil.rmtree(tmp_path / SECRET)
    out = tmp_path / "shipped"
    status, said, _ = exports("--model", trained, "--output", out)
    assert status == 0
    assert "no dev set at hand" in said
    card = (out / "README.md").read_text()
    assert "model-index" not in metadata_of(card)
    assert "How often it is right is not known here." in card


def test_random_inputs_are_such_as_the_model_was_trained_on(small_model):
    dev = find_dev_set(Source.open(small_model(True)), None)
    assert "nothing tells the task" in dev.why_none
    (file,) = dev.files
    tokenizer = Source.open(small_model(True)).tokenizer
    for start, end, first in zip(
        file.features.offsets[:-1],
        file.features.offsets[1:],
        file.features.first_lengths,
        strict=True,
    ):
        ids = file.features.input_ids[start:end]
        assert ids[0] == tokenizer.cls_id
        assert np.flatnonzero(ids == tokenizer.sep_id).tolist() == [first - 1, len(ids) - 1]
        assert 3 <= first <= len(ids) - 2


def test_the_dev_set_is_the_training_s_share(small_model, tmp_path):
    folder = small_model(False)
    rows = [f"{text},{('bad', 'good')[int(label)]}" for text, label in sentences(60)]
    rows = ["said,mood", *(row.replace("2,013", "many") for row in rows)]
    (tmp_path / "all.csv").write_text("\n".join(rows))
    flags = {"task_name": "custom", "train_file": str(tmp_path / "all.csv"), "dev_share": 0.2}
    flags |= {"text_columns": ["said"], "label_column": "mood"}
    (folder / "training_args.json").write_text(json.dumps(flags))
    dev = find_dev_set(Source.open(folder), None)
    assert dev.files[0].name == "20% of all.csv"
    assert 5 <= len(dev.files[0].features) <= 15
    assert dev.task.labels == ("bad", "good")
    # A file that is named goes before it.
    (tmp_path / "new.csv").write_text("\n".join(rows[:5]))
    assert len(find_dev_set(Source.open(folder), tmp_path / "new.csv").files[0].features) == 4


def test_a_network_that_says_something_else_is_refused_with_the_figures():
    ours = [np.array([[0.5, -0.5]], np.float32), np.zeros((0, 2), np.float32)]
    near = [ours[0] + np.float32(5e-5), ours[1]]
    assert check_same("model.onnx", ours, near) == pytest.approx(5e-5, rel=1e-2)
    with pytest.raises(ValueError, match=r"differs by 0\.01 from torch's, and 0\.0001 is allowed"):
        check_same("model.onnx", ours, [ours[0] + np.float32(0.01), ours[1]])
    # Of large numbers the last digits of fp32 are more than that.
    assert check_same("model.onnx", [ours[0] * 1e4], [ours[0] * 1e4 + np.float32(0.1)]) > 0.09
    with pytest.raises(ValueError, match="nan"):
        check_same("model.onnx", ours, [ours[0] * np.nan, ours[1]])


def scores(ends, **metrics):
    return Scores(metrics, dict.fromkeys(metrics, ends) if ends else {}, {}, {})


def test_int8_is_held_against_the_interval():
    sst2, mnli, ends = TASKS["sst-2"], TASKS["mnli"], (0.88, 0.92)
    check_int8(sst2, scores(ends, acc=0.9), scores(None, acc=0.881))
    with pytest.raises(ValueError, match=r"acc is 0\.8700, outside .* 0\.9000, 0\.8800 to 0\.9200"):
        check_int8(sst2, scores(ends, acc=0.9), scores(None, acc=0.87))
    with pytest.raises(ValueError, match="acc_mm is 0"):
        check_int8(mnli, scores(ends, acc=0.9, acc_mm=0.9), scores(None, acc=0.9, acc_mm=0.5))
    with pytest.raises(ValueError, match="has no 95 % interval"):
        check_int8(sst2, scores(None, acc=1.0), scores(None, acc=1.0))


def test_batches_without_torch_are_those_with_it(tokenizer):
    examples = Examples(["a film", "the sea", "a"], ["the story", "a warm story by the sea", "b"])
    features = build_features(examples, tokenizer, 32, is_regression=False)
    plan = BatchPlan(np.array([2, 0, 1]), int(features.lengths.max()))
    ours = BatchBuilder(features, torch.device("cpu"))(plan)
    theirs = padded_arrays(features, plan)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert array.dtype == ours[name].numpy().dtype
        assert array.tolist() == ours[name].tolist()


def test_predict_loads_torch_only_where_it_computes():
    code = "import sys, tools.predict; sys.exit('torch' in sys.modules)"
    assert subprocess.run(tied([sys.executable, "-c", code]), cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--onnx",), "--onnx needs onnxruntime"),
        (("--onnx", "--bf16"), "--bf16 is torch's"),
        (("--onnx", "--device=cuda"), "--device cuda: --onnx computes on the CPU alone"),
        (("--int8",), "--int8 says which network --onnx is to compute"),
    ],
)
def test_predict_refuses_what_onnxruntime_has_not(small_model, ask, monkeypatch, flags, words):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    status, _, errors = ask(small_model(False), *flags, "a film", shows=False)
    assert status == 2
    assert words in errors


def test_the_tolerance_is_the_documented_one():
    assert f"{check.TOLERANCE:g}" == "0.0001"
    assert "1e-4" in export.__doc__
