"""What has no trained model says what it has in its place, and what to do."""

import shutil

import pytest
import torch

from callback.checkpointing import save_checkpoint, save_final
from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from model.tokenizer_export import save_tokenizer
from tools import predict
from tools.cli.errors import UsageError
from tools.run.trained import check_trained

NAMES = "spiece.model, 30k-clean.model, vocab.txt and tokenizer.json"


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


def test_a_part_that_is_missing_is_named(tmp_path, classifier, tokenizer):
    assert f"no weights in {tmp_path}: looked for" in refusal(tmp_path)
    save_model(classifier, tmp_path)
    words = (
        f"weights, but no vocabulary in {tmp_path}: looked for {NAMES}: put the vocabulary of the"
    )
    assert refusal(tmp_path).startswith(f"{words} model it came from beside them")
    save_tokenizer(tokenizer, tmp_path)
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


def test_weights_that_were_not_copied_along_are_missing(tmp_path, classifier, tokenizer):
    nothing = f"no trained classifier: no weights in {tmp_path}: looked for model.safetensors and "
    words = f"{nothing}pytorch_model.bin; its training has ended: copy its weights there again"
    (tmp_path / "training_args.json").write_text("{}")
    history = tmp_path / "metrics.jsonl"
    history.write_text('{"event": "step", "step": 1}\n{"event": "note", "of": "training"}\n')
    assert "its training has not ended" in refusal(tmp_path)
    with history.open("a") as file:
        file.write('{"event": "training", "seconds": 3}\n{"event": "ev')
    assert refusal(tmp_path) == words
    save_checkpoint(tmp_path, 2, classifier, tokenizer, torch.nn.Identity())
    ways = f", or name its newest checkpoint, {tmp_path / 'checkpoint-2'}, or go on with --resume"
    assert refusal(tmp_path) == words + ways
    # A checkpoint, or a model without the records of its training.
    folder = tmp_path / "checkpoint-2"
    (folder / "model.safetensors").unlink()
    assert refusal(folder).endswith("; the rest of a model is there: copy its weights there again")
    (folder / "model.safetensors").symlink_to("gone")
    assert refusal(folder).endswith(
        "is a link to gone, which is not there: copy or download it again"
    )


def test_a_folder_of_folders_names_those_with_models(tmp_path, classifier, tokenizer, pretrained):
    for name in ("previous/9", "previous/10", "SST-2", "none", ".writing"):
        (tmp_path / name).mkdir(parents=True)
    save_final(tmp_path / "SST-2", classifier, tokenizer)
    for name in ("previous/9", "previous/10", ".writing", "demo/STS-B", "far/too/far"):
        shutil.copytree(tmp_path / "SST-2", tmp_path / name, dirs_exist_ok=True)
    for name in ("config.json", "spiece.model", "model.safetensors"):
        shutil.copytree(tmp_path / "SST-2", tmp_path / f"no-{name}")
        (tmp_path / f"no-{name}" / name).unlink()
    (tmp_path / "no-spiece.model" / "tokenizer.json").unlink()  # It is a vocabulary, too.
    shutil.copytree(pretrained, tmp_path / "pretrained")
    names = ("previous/10", "SST-2", "demo/STS-B")
    there = ", ".join(str(tmp_path / name) for name in names)
    assert refusal(tmp_path).endswith(f"what has a trained model is {there}: name that")
    for name in names:
        check_trained(tmp_path / name, "--model")
    shutil.copytree(tmp_path / "SST-2", tmp_path / "demo" / "RTE")
    assert refusal(tmp_path).endswith(f"{tmp_path / 'demo' / 'RTE'} …: name that")


def test_a_trained_model_without_its_vocabulary(refused, sst2, tmp_path, classifier, capsys):
    save_model(classifier, tmp_path / "out")
    remedy = "put the vocabulary of the model it came from beside them"
    line = refused("--data_dir", sst2, "--do_eval", "--output_dir=out", status=2)
    assert f"no vocabulary in out: looked for {NAMES}; {remedy}" in line
    line = refused("--data_dir", sst2, "--do_eval", "--output_dir=out", "--vocab_file=no", status=2)
    assert "no is missing (--vocab_file)" in line
    assert remedy not in line
    assert predict.main(["--model", str(tmp_path / "out"), "a film"]) == 2
    assert remedy in capsys.readouterr().err


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
