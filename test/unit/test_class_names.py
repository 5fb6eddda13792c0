"""A model's classes are the task's by what their names mean, and no guess is made without."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from helpers import records

from model.checkpoint import build_model, load_model, save_model
from model.configuration_albert import AlbertConfig
from processors.class_names import match_classes
from processors.features import build_features
from processors.glue import TASKS
from processors.reading import Examples
from tools.machine.device import Device
from tools.run.data_flags import as_flag_value, class_names
from tools.run.inputs import resolve_task
from tools.run.scoring import compute_logits

NLI = ("contradiction", "entailment", "neutral")


@pytest.mark.parametrize(
    ("task", "names", "labels", "expected"),
    [
        ("mnli", ("ENTAILMENT", "Neutral", "CONTRADICTION"), NLI, (NLI[1], NLI[2], NLI[0])),
        ("qnli", ("Not Entailment", "entailment"), ("entailment", "not_entailment"),
         ("not_entailment", "entailment")),
        ("rte", ("non-entailment", "entailment"), ("entailment", "not_entailment"),
         ("not_entailment", "entailment")),
        ("sst-2", ("POSITIVE", "NEGATIVE"), ("0", "1"), ("1", "0")),
        ("sst-2", ("LABEL_1", "LABEL_0"), ("0", "1"), ("1", "0")),
        ("mrpc", ("equivalent", "not_equivalent"), ("0", "1"), ("1", "0")),
        ("custom", ("1", "0"), ("pos", "neg"), ("pos", "neg")),
        ("custom", ("negative", "Neutral", "x"), ("NEG", "neutral"), ("NEG", "neutral", "x")),
        ("custom", ("good", "no", "negative"), ("no", "good"), ("good", "no", "negative")),
        ("custom", ("negative", "neutral", "positive"), ("0", "1", "2"), None),
        ("mnli", ("LABEL_0", "LABEL_1", "LABEL_2"), NLI, None),
        ("sst-2", ("equivalent", "not_equivalent"), ("0", "1"), None),
        ("sst-2", ("pos", "positive"), ("0", "1"), None),
        ("custom", ("LABEL_1", "LABEL_2"), ("0", "1"), None),
    ],
)  # fmt: skip
def test_names_that_mean_the_same(task, names, labels, expected):
    assert match_classes(task, names, labels) == expected


@pytest.fixture
def trained(pretrained, tmp_path):
    """Write a model of pairs with such names of its classes, as transformers would; return its folder."""

    def write(folder, names, shift=0):
        config = AlbertConfig.from_file(pretrained)
        config.set_task(names, True)
        config.initializer_range = 0.5
        torch.manual_seed(3)
        model = build_model(config)
        for weights in model.classifier.parameters():
            weights.data = weights.data.roll(shift, 0)
        shutil.copytree(pretrained, tmp_path / folder)
        save_model(model, tmp_path / folder)
        return tmp_path / folder

    return write


def predicted(tokenizer, folder, labels):
    """Return rows of pairs, each with what the model in ``folder`` takes it for."""
    texts = ["a film", "the sea", "we loved this", "in the city", "a cold story", "2013, 12, or 2"]
    pairs = [(a, b) for a in texts for b in texts]
    features = build_features(Examples(*map(list, zip(*pairs, strict=True))), tokenizer, 32, False)
    model = load_model(folder, AlbertConfig.from_file(folder))
    found = compute_logits(model, features, Device("cpu"), 32, 32).argmax(1)
    assert len(set(found)) > 1
    return [f"{a}\t{b}\t{labels[i]}" for (a, b), i in zip(pairs, found, strict=True)]


def test_a_model_is_scored_by_the_meaning_of_its_classes(
    trained, tokenizer, tmp_path, program, refused, capsys
):
    # Its first output is "entailment", whatever it is called.
    order = ("entailment", "neutral", "contradiction")
    folder = trained("nli", tuple(map(str.upper, order)))
    lines = predicted(tokenizer, folder, order)
    (tmp_path / "dev_mismatched.tsv").write_text(
        "\n".join(["sentence1\tsentence2\tgold_label", *lines]) + "\n"
    )
    flags = ("--task_name=mnli-mm", "--data_dir", tmp_path, "--do_eval", "--model_name_or_path")
    assert program(*flags, folder, "--output_dir=out") == 0
    assert records(tmp_path / "out", "eval")[-1]["acc"] == 1.0
    assert "classes: 'ENTAILMENT' is 'entailment', 'NEUTRAL' is" in capsys.readouterr().out

    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
    (folder / "config.json").write_text(json.dumps(config))
    line = refused(*flags, folder, status=2)
    assert "calls its classes 'LABEL_0', 'LABEL_1', 'LABEL_2', and the task 'contradiction'" in line
    assert "--label_order contradiction,entailment,neutral" in line
    assert program(*flags, folder, "--output_dir=out", "--label_order", ",".join(order)) == 0
    assert records(tmp_path / "out", "eval")[-1]["acc"] == 1.0
    for given, words in (
        ("a,b,c", "the classes of --task_name mnli-mm are 'contradiction', 'entailment', 'neut"),
        ("a,b", "2 classes for a model with 3 outputs"),
        ("a,a", "'a,a' is not two classes or more, with commas between"),
    ):
        assert words in refused(*flags, folder, "--label_order", given, status=2)
    words = "--label_order is about a trained model's outputs"
    assert words in refused(*flags, folder, "--label_order=0,1", "--do_train", status=2)

    # As albert_pytorch, which names no class, leaves its models.
    del config["id2label"], config["model_type"]
    (folder / "config.json").write_text(json.dumps(config))
    assert program(*flags, folder, "--output_dir=out") == 0
    words = "are taken for the task's 'contradiction', 'entailment', 'neutral', in this order"
    assert words in capsys.readouterr().out


def test_f1_is_that_of_the_class_that_is_called_1(trained, tokenizer, tmp_path, program):
    found = []
    for folder, names, shift in (
        ("one", ("0", "1"), 0),
        ("other", ("equivalent", "not_equivalent"), 1),
    ):
        model = trained(folder, names, shift)
        if not shift:
            lines = predicted(tokenizer, model, names)
            # A third of the ones are called 0, so that the two classes' F1 differ.
            ones = [i for i, line in enumerate(lines) if line.endswith("1")]
            for i in ones[::3]:
                lines[i] = lines[i][:-1] + "0"
            header = "#1 String\t#2 String\tQuality"
            for split in ("dev", "test"):
                (tmp_path / f"{split}.tsv").write_text("\n".join([header, *lines]) + "\n")
        flags = ("--task_name=mrpc", "--data_dir", tmp_path, "--output_dir", folder)
        flags = (*flags, "--do_eval", "--do_predict")
        assert program(*flags, "--model_name_or_path", model) == 0
        for kind in ("eval", "test"):
            (result,) = records(tmp_path / folder, kind)
            found.append((result["acc"], result["f1"]))
    assert len(set(found)) == 1
    assert 0 < found[0][1] < 1


def test_a_custom_file_may_call_the_classes_otherwise(
    trained, tokenizer, tmp_path, program, refused
):
    folder = trained("own", ("NEGATIVE", "POSITIVE"))
    lines = predicted(tokenizer, folder, ("neg", "pos"))
    (tmp_path / "dev.tsv").write_text("\n".join(["a\tb\tlabel", *lines]) + "\n")
    flags = ("--task_name=custom", "--dev_file=dev.tsv", "--text_columns=a,b", "--do_eval")
    flags = (*flags, "--output_dir=out", "--model_name_or_path", folder)
    assert program(*flags) == 0
    assert records(tmp_path / "out", "eval")[-1]["acc"] == 1.0
    text = (
        (tmp_path / "dev.tsv").read_text().replace("neg\n", "schlecht\n").replace("pos\n", "gut\n")
    )
    (tmp_path / "dev.tsv").write_text(text)
    line = refused(*flags, status=1)
    assert "is not one of 'NEGATIVE', 'POSITIVE'" in line
    assert program(*flags, "--label_order=schlecht,gut") == 0
    assert records(tmp_path / "out", "eval")[-1]["acc"] == 1.0


def test_an_order_that_the_names_contradict_is_told(caplog):
    config = AlbertConfig()
    config.set_task(("NEGATIVE", "POSITIVE"), False)
    for order, is_told in ((("1", "0"), True), (("0", "1"), False)):
        assert resolve_task(TASKS["sst-2"], config, False, Path(), order).labels == order
        words = "--label_order 1,0: the model itself calls its outputs 'NEGATIVE', 'POSITIVE'"
        assert (words in caplog.text) == is_told
        caplog.clear()
    config.set_task(("LABEL_0", "LABEL_1"), False)
    resolve_task(TASKS["sst-2"], config, False, Path(), ("1", "0"))
    assert not caplog.text
    names = ("a, b", 'the "c"')
    assert class_names(shlex.split(as_flag_value(names))[0]) == names
