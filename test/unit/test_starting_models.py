"""Any model with ALBERT's encoder is a start for a training; what is scored must be whole."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from helpers import golden_model, write_sst2
from safetensors.torch import load_file, save_file

from model.checkpoint import load_for_training, load_model, read_weights, save_model
from model.configuration_albert import AlbertConfig
from model.weight_names import albert_pytorch_key, name_weights
from processors.custom import CUSTOM
from processors.glue import TASKS
from tools.cli.errors import UsageError
from tools.run.starting_head import FileHead

SHAPE = {
    "vocab_size": 12, "embedding_size": 4, "hidden_size": 6, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 9,
}  # fmt: skip


def start(folder, labels, keep_head=False, task="sst-2"):
    """Return the classifier into ``labels`` with which a training begins from ``folder``."""
    config = AlbertConfig.from_file(folder)
    head = FileHead.of(config)
    config.set_task(labels)
    task = replace(TASKS["sst-2"] if task == CUSTOM else TASKS[task], name=task, labels=labels)
    own = task.name == CUSTOM
    return load_for_training(folder, config, lambda w: head.take(w, task, keep_head), own)


def encoder(model):
    """Return the state of a model's encoder by the names that this project has for it."""
    state = {k: v for k, v in model.state_dict().items() if "position_ids" not in k}
    names = name_weights(state).names
    return {names[k]: v for k, v in state.items() if names[k].startswith("albert.")}


@pytest.mark.parametrize(
    ("kind", "left_out", "new_pooler"),
    [
        ("AlbertModel", "", False),
        ("AlbertForMaskedLM", "left out: predictions", True),
        ("AlbertForPreTraining", "left out: predictions, sop_classifier", False),
        ("AlbertForQuestionAnswering", "left out: qa_outputs", True),
        ("AlbertForTokenClassification", "left out: a classifier of another kind (of tokens)", True),
        ("AlbertForMultipleChoice", "left out: a classifier of another kind (of the choices in", False),
    ],
)  # fmt: skip
def test_each_of_hugging_faces_models_is_a_start(tmp_path, caplog, kind, left_out, new_pooler):
    transformers = pytest.importorskip("transformers")
    caplog.set_level("INFO")
    torch.manual_seed(0)
    peer = getattr(transformers, kind)(transformers.AlbertConfig(**SHAPE))
    peer.save_pretrained(tmp_path)
    model = start(tmp_path, None)  # A multiple choice has one output, too.
    theirs = encoder(peer)
    found = model.state_dict()
    for key, value in theirs.items():
        assert torch.equal(found[key], value), key
    missing = found.keys() - theirs.keys() - {"classifier.weight", "classifier.bias"}
    assert missing == ({"albert.pooler.weight", "albert.pooler.bias"} if new_pooler else set())
    line = next(message for message in caplog.messages if message.startswith("weights: "))
    assert "with a new classifier" in line
    assert left_out in line
    assert ("new: the pooler" in line) == new_pooler


@pytest.fixture
def trained(tmp_path):
    """A golden classifier with named classes, in its folder."""
    model, _, _ = golden_model("albert_sst2_tiny")
    model.config.set_task(("Negative", "POSITIVE"))
    save_model(model, tmp_path / "trained")
    return model, tmp_path / "trained"


def test_a_classifier_of_the_tasks_classes_is_kept_in_their_order(trained, caplog):
    model, folder = trained
    caplog.set_level("INFO")
    same = start(folder, ("negative", "positive"))
    assert torch.equal(same.classifier.weight, model.classifier.weight)
    turned = start(folder, ("positive", "negative"))
    assert torch.equal(turned.classifier.weight, model.classifier.weight[[1, 0]])
    torch.testing.assert_close(turned.classifier.bias, model.classifier.bias[[1, 0]])
    assert "its classes in the task's order" in caplog.messages[-1]
    # What they are called by another name is what counts, as where a model is scored.
    turned = start(folder, ("1", "0"))
    assert torch.equal(turned.classifier.weight, model.classifier.weight[[1, 0]])
    model.config.set_task(("equivalent", "not_equivalent"))
    save_model(model, folder)
    turned = start(folder, ("0", "1"), task="mrpc")
    assert torch.equal(turned.classifier.weight, model.classifier.weight[[1, 0]])


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (("a", "b", "c"), "a classifier for 2 classes, not for 3 classes"),
        (None, "a classifier for 2 classes, not with one output, for a number"),
    ],
)
def test_a_classifier_with_other_outputs_is_left_out(trained, caplog, labels, why):
    model, folder = trained
    caplog.set_level("INFO")
    fresh = start(folder, labels)
    assert len(fresh.classifier.bias) == (3 if labels else 1)
    assert fresh.config.classifier_input_shift == 0.1
    assert torch.equal(fresh.albert.pooler.weight, model.albert.pooler.weight)
    assert f"left out: {why}" in caplog.messages[-1]
    with pytest.raises(UsageError, match=f"^--keep_head: .*model.safetensors holds {why}: leave"):
        start(folder, labels, keep_head=True)


def test_classes_of_other_names_are_taken_on_demand(trained, caplog):
    model, folder = trained
    caplog.set_level("INFO")
    assert not torch.equal(start(folder, ("a", "b")).classifier.weight, model.classifier.weight)
    assert "left out: its classifier for 'Negative', 'POSITIVE' (--keep_head" in caplog.messages[-1]
    kept = start(folder, ("a", "b"), keep_head=True)
    assert torch.equal(kept.classifier.weight, model.classifier.weight)
    assert "'Negative', 'POSITIVE' are taken for the task's, in this order" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda name: f"net.encoder.{name}", "without net.encoder."),
        (lambda name: f"module.model.{name}", "without module.model."),
        (lambda name: name.replace("albert.", "encoder_of_mine."), "without encoder_of_mine."),
        (lambda name: f"module.{albert_pytorch_key(name)}", "without module."),
        (lambda name: name.replace("orm.weight", "orm.gamma").replace("orm.bias", "orm.beta"),
         "gamma and beta to weight and bias"),
        (lambda name: albert_pytorch_key(name).replace("orm.weight", "orm.gamma"),
         "gamma and beta to weight and bias"),
    ],
)  # fmt: skip
def test_other_names_are_taken_for_what_they_are(trained, caplog, rename, said):
    model, folder = trained
    caplog.set_level("INFO")
    state = {rename(key): value for key, value in load_file(folder / "model.safetensors").items()}
    extra = {"fc.1.weight": torch.ones(2), "loss.weight": torch.ones(2)}
    save_file({**state, **extra}, folder / "model.safetensors")
    begun = start(folder, ("Negative", "POSITIVE"))
    torch.testing.assert_close(begun.albert.state_dict(), model.albert.state_dict())
    assert torch.equal(begun.classifier.weight, model.classifier.weight)
    assert f"renamed: {said}; left out: fc, loss" in caplog.messages[-1]
    with pytest.raises(ValueError, match=r"fc\.1\.weight is unknown; loss\.weight is unknown"):
        load_model(folder, AlbertConfig.from_file(folder))


def change(folder, edit):
    state = load_file(folder / "model.safetensors")
    edit(state)
    save_file(state, folder / "model.safetensors")


def test_what_is_lacking_in_the_encoder_is_no_start(trained):
    _, folder = trained
    change(folder, lambda state: state.pop("albert.pooler.bias"))
    with pytest.raises(ValueError, match=r"albert\.pooler\.bias is missing"):
        start(folder, ("0", "1"))
    change(folder, lambda state: [state.pop(key) for key in list(state) if "ffn." in key])
    with pytest.raises(ValueError, match=r"ffn\.bias is missing"):
        start(folder, ("0", "1"))


def test_two_alberts_in_one_file_are_named(trained):
    _, folder = trained
    change(folder, lambda state: state.update({f"teacher.{k}": v + 1 for k, v in state.items()}))
    words = r"more than one ALBERT \(albert.encoder and teacher.albert.encoder\): save one alone"
    with pytest.raises(ValueError, match=words):
        read_weights(folder)


def test_what_lacks_a_pooler_or_classifies_tokens_is_not_scored(trained, tmp_path):
    _, folder = trained
    shutil.copytree(folder, tmp_path / "tokens")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["AlbertForTokenClassification"]
    (tmp_path / "tokens" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match="the model's classifier is of tokens, not of whole texts: train"
    ):
        AlbertConfig.from_file(tmp_path / "tokens", is_scored=True)
    change(
        folder, lambda state: [state.pop(f"albert.pooler.{kind}") for kind in ("bias", "weight")]
    )
    with pytest.raises(ValueError, match=r"albert\.pooler\.bias is missing"):
        load_model(folder, AlbertConfig.from_file(folder))


def test_a_training_starts_from_a_model_of_another_task(program, pretrained, tmp_path, capfd):
    folder = shutil.copytree(pretrained, tmp_path / "other")
    config = AlbertConfig.from_file(folder)
    config.set_task(("a", "b", "c"))
    save_model(load_model(folder, config), folder)
    own = ("--data_dir", write_sst2(tmp_path / "data", train=16), "--do_train", "--max_steps=1")
    named = ("--model_name_or_path", folder, "--output_dir", tmp_path / "out")
    assert program(*own, *named) == 0
    assert "left out: a classifier for 3 classes, not for 2 classes" in capfd.readouterr().out
    assert AlbertConfig.from_file(tmp_path / "out", is_scored=True).num_labels == 2


def test_unnamed_classes_are_no_order_for_ones_own(tmp_path, caplog):
    """0 and 1 of SST-2 are negative and positive; of which of two other classes nobody knows."""
    caplog.set_level("INFO")
    model, _, _ = golden_model("albert_sst2_tiny")
    model.config.set_task(("0", "1"))
    save_model(model, tmp_path)
    weight = model.classifier.weight

    def found(*labels, **options):
        return start(tmp_path, labels, task=CUSTOM, **options).classifier.weight

    assert torch.equal(found("0", "1"), weight)
    assert torch.equal(found("positive", "negative"), weight[[1, 0]])
    assert not found("gut", "schlecht").any()  # It has no side that training must turn round.
    assert "left out: its classifier for classes without names (--keep_head" in caplog.messages[-1]
    assert torch.equal(found("gut", "schlecht", keep_head=True), weight)
    assert "its classes without names are taken for the task's" in caplog.messages[-1]
    assert torch.equal(start(tmp_path, ("gut", "schlecht")).classifier.weight, weight)
    assert found("gut", "schlecht", "neu").shape == (3, weight.shape[1])
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)):
        norm.reset_parameters()
    save_model(model, tmp_path)  # Random weights have no features to tell apart.
    assert found("gut", "schlecht").all()


def test_keep_head_is_about_a_head_that_is_there(refused, sst2):
    own = ("--data_dir", sst2, "--keep_head")
    assert "--keep_head needs --do_train" in refused(*own, "--do_eval", status=2)
    both = refused(*own, "--do_train", "--random_init", status=2)
    assert "--keep_head and --random_init contradict each other" in both
    assert "holds no classifier: leave --keep_head out" in refused(*own, "--do_train", status=2)
