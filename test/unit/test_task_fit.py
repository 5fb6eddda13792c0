"""A model of another task than the flags name is told from one that is damaged."""

import json
import shutil

import pytest
import torch
from helpers import write_sst2, write_stsb

from callback.checkpointing import save_checkpoint
from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig


def save_trained(pretrained, folder, labels):
    """Save a trained classifier for a task with ``labels`` (None: a number) and return its folder."""
    config = AlbertConfig.from_file(pretrained)
    config.set_task(labels)
    shutil.copytree(pretrained, folder)
    save_model(build_model(config), folder)
    return folder


@pytest.mark.parametrize(
    ("task", "labels", "words"),
    [
        ("sts-b", ("0", "1"), "needs one with one output, for a number, but {0}/model.safetensors holds a "
         "classifier for 2 classes: name the task that it was trained for, or train it for this"),
        ("sst-2", None, "needs one for 2 classes, but {0}/model.safetensors holds a classifier with one "
         "output, for a number: name"),
        ("sst-2", ("a", "b", "c"), "needs one for 2 classes, but {0}/model.safetensors holds a classifier "
         "for 3 classes: name"),
    ],
)  # fmt: skip
def test_a_model_of_another_task_is_named_with_the_flag(
    refused, pretrained, tmp_path, task, labels, words
):
    model = save_trained(pretrained, tmp_path / "model", labels)
    data = (write_stsb if task == "sts-b" else write_sst2)(tmp_path / "data")
    own = ("--model_name_or_path", model, "--task_name", task, "--data_dir", data)
    line = refused(*own, "--do_eval", status=2)
    assert f"--task_name {task} {words.format(model)}" in line


def test_a_configuration_and_weights_of_two_models_are_named(refused, pretrained, sst2, tmp_path):
    model = save_trained(pretrained, tmp_path / "model", ("a", "b", "c"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps(config | {"num_labels": 2, "id2label": {0: "0", 1: "1"}})
    )
    line = refused("--model_name_or_path", model, "--data_dir", sst2, "--do_eval", status=1)
    assert "holds a classifier for 3 classes, but the configuration" in line
    assert f"{model / 'config.json'} names 2 classes: they are not of one model" in line


def test_a_checkpoint_of_another_task_is_named(refused, pretrained, tokenizer, stsb, tmp_path):
    model = build_model(AlbertConfig.from_file(pretrained))
    save_checkpoint(tmp_path / "out", 2, model, tokenizer, torch.nn.Identity())
    flags = ("--task_name", "sts-b", "--data_dir", stsb, "--do_train", "--output_dir", "out")
    line = refused(*flags, "--resume", status=2)
    assert (
        "--resume: --task_name sts-b needs one with one output, for a number, but out/checkpoint-2"
        in line
    )
    assert (
        "classifier for 2 classes: resume it with the task it had, or train anew with --overwrite"
        in line
    )


def test_a_model_that_does_not_fit_is_found_before_the_data_are_tokenized(
    refused, pretrained, stsb, tmp_path, monkeypatch
):
    model = save_trained(pretrained, tmp_path / "model", ("0", "1"))
    monkeypatch.setattr("tools.run.start.load_features", lambda *_: pytest.fail("tokenizes"))
    flags = (
        "--task_name",
        "sts-b",
        "--data_dir",
        stsb,
        "--do_train",
        "--keep_head",
        "--model_name_or_path",
        model,
    )
    assert "holds a classifier for 2 classes" in refused(*flags, status=2)
