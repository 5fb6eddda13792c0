"""What has no trained model says what it has in its place, and what to do."""

import shutil

import pytest
import torch

from callback.checkpointing import save_checkpoint
from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from tools.cli.errors import UsageError
from tools.run.trained import check_trained


@pytest.fixture
def classifier(pretrained):
    config = AlbertConfig.from_file(pretrained)
    config.set_task(("0", "1"))
    return build_model(config)


def refusal(folder):
    """Return what is said of a folder that is to have a trained model."""
    with pytest.raises(UsageError) as caught:
        check_trained(folder, "--model")
    line = str(caught.value)
    assert line.startswith(f"--model {folder} holds ")
    return line.removeprefix(f"--model {folder} holds ")


def test_what_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("gone")
    nothing = "no trained classifier: "
    assert refusal(tmp_path / "no") == f"{nothing}there is no folder {tmp_path / 'no'}"
    file = f"{tmp_path / 'file'} is a file, not a folder: name the folder that holds it"
    assert refusal(tmp_path / "file") == nothing + file
    assert "is a link to gone, which is not there" in refusal(tmp_path / "link")


def test_a_part_that_is_missing_is_named(tmp_path, classifier):
    assert f"no weights in {tmp_path}: looked for" in refusal(tmp_path)
    save_model(classifier, tmp_path)
    check_trained(tmp_path, "--model")
    (tmp_path / "config.json").unlink()
    assert refusal(tmp_path) == "weights, but no config.json: put theirs beside them"
    (tmp_path / "config.json").mkdir()
    assert f"weights, but {tmp_path / 'config.json'} is a folder, not a file" in refusal(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "tf_model.h5")
    assert "tf_model.h5 is Keras's" in refusal(tmp_path)


def test_a_pretrained_model_is_named(pretrained):
    words = (
        f"model.safetensors is of a pretrained model, without a classifier: train .* {pretrained}"
    )
    with pytest.raises(UsageError, match=words):
        check_trained(pretrained, "--model")


def test_the_newest_checkpoint_of_a_training_that_did_not_end_is_named(
    tmp_path, classifier, tokenizer
):
    (tmp_path / "training_args.json").write_text("{}")
    assert "its training has not ended, and left no whole checkpoint: wait" in refusal(tmp_path)
    for step in (2, 10):
        save_checkpoint(tmp_path, step, classifier, tokenizer, torch.nn.Identity())
    words = f"name the newest, {tmp_path / 'checkpoint-10'}, or go on with --resume"
    assert words in refusal(tmp_path)
    check_trained(tmp_path / "checkpoint-10", "--model")
    (tmp_path / "checkpoint-10" / "spiece.model").unlink()
    assert f"name the newest, {tmp_path / 'checkpoint-2'}, or" in refusal(tmp_path)


def test_a_folder_of_folders_names_those_with_models(tmp_path, classifier):
    for name in ("previous/9", "previous/10", "SST-2", "none"):
        (tmp_path / name).mkdir(parents=True)
    save_model(classifier, tmp_path / "SST-2")
    shutil.copytree(tmp_path / "SST-2", tmp_path / "previous" / "10", dirs_exist_ok=True)
    words = f"what has weights is {tmp_path / 'previous' / '10'}, {tmp_path / 'SST-2'}: name that"
    assert words in refusal(tmp_path)


def test_an_evaluation_says_it_too(refused, sst2, tmp_path, classifier, tokenizer):
    save_checkpoint(tmp_path / "out", 10, classifier, tokenizer, torch.nn.Identity())
    line = refused("--data_dir", sst2, "--do_eval", "--output_dir=out", status=2)
    assert "there is no trained model in out or " in line
    assert (
        "; its training has not ended, but left checkpoints: name the newest, out/checkpoint-10"
        in line
    )
    assert "model.safetensors is of a pretrained model, without a classifier" in line
    assert line.endswith("; add --do_train, or name its folder with --model_name_or_path")
