"""Weights survive the way to a folder and back, and other systems read them."""

import json

import numpy as np
import pytest
import torch
from helpers import DATA, golden_model

from model.checkpoint import (
    LAYOUTS,
    OutputsError,
    has_classifier,
    load_model,
    read_weights,
    save_model,
)
from model.configuration_albert import AlbertConfig


@pytest.fixture
def saved(tmp_path):
    """A golden classifier, its inputs, and the folder it was saved to."""
    model, _, batch = golden_model("albert_sst2_tiny")
    model.config.set_task(("0", "1"))
    save_model(model, tmp_path)
    return model, batch, tmp_path


def test_a_saved_model_loads_with_the_same_logits(saved):
    model, batch, folder = saved
    again = load_model(folder, AlbertConfig.from_file(folder)).eval()
    assert again.config == AlbertConfig.from_file(folder)
    assert again.config.classifier_input_shift == 0.1
    torch.testing.assert_close(again(*batch).logits, model(*batch).logits, atol=1e-6, rtol=0)


def test_hugging_face_loads_the_folder_with_the_same_logits(saved):
    transformers = pytest.importorskip("transformers")
    model, batch, folder = saved
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        theirs = peer(*batch[:2], token_type_ids=batch[2]).logits
    torch.testing.assert_close(theirs, model(*batch).logits.detach(), atol=1e-6, rtol=0)
    assert peer.config.id2label == {0: "0", 1: "1"}
    assert peer.config.problem_type == "single_label_classification"


def test_albert_pytorch_weights_load(tmp_path):
    arrays = np.load(DATA / "albert_stsb_tiny.npz")
    state = {k[6:]: torch.from_numpy(arrays[k]) for k in arrays if k.startswith("state/")}
    state["cls.predictions.bias"] = torch.zeros(3)  # a pretraining head, to be left out
    torch.save(state, tmp_path / "pytorch_model.bin")
    model = load_model(
        tmp_path, AlbertConfig.from_file(DATA / "albert_stsb_tiny.config.json")
    ).eval()
    inputs = [
        torch.from_numpy(arrays[k]) for k in ("input_ids", "attention_mask", "token_type_ids")
    ]
    expected = torch.from_numpy(arrays["logits"])
    torch.testing.assert_close(model(*inputs).logits.detach(), expected, atol=1e-6, rtol=0)


def test_albert_pytorch_layout_is_written_as_the_reference_has_it(tmp_path):
    model, arrays, batch = golden_model("albert_two_groups_tiny")
    save_model(model, tmp_path, "albert_pytorch")
    state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    golden = {k[6:]: torch.from_numpy(arrays[k]) for k in arrays if k.startswith("state/")}
    assert state.keys() == golden.keys()
    for key, value in golden.items():
        assert torch.equal(state[key], value), key
    again = load_model(tmp_path, AlbertConfig.from_file(tmp_path)).eval()
    assert torch.equal(again(*batch).logits, model(*batch).logits)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_every_layout_keeps_the_logits_of_either_head(tmp_path, layout, shift, caplog):
    caplog.set_level("INFO")
    model, _, batch = golden_model("albert_sst2_tiny")
    model.config.classifier_input_shift = shift
    save_model(model, tmp_path, layout)
    again = load_model(tmp_path, AlbertConfig.from_file(tmp_path)).eval()
    torch.testing.assert_close(again(*batch).logits, model(*batch).logits, atol=1e-6, rtol=0)
    (line,) = caplog.messages
    assert f"({layout} layout), with its classifier" in line


def test_what_hugging_face_fine_tuned_keeps_its_logits(tmp_path):
    transformers = pytest.importorskip("transformers")
    ours, _, batch = golden_model("albert_stsb_tiny")
    values = ours.config.to_dict() | {"num_labels": 1, "hidden_dropout_prob": 0.0}
    torch.manual_seed(0)
    peer = transformers.AlbertForSequenceClassification(transformers.AlbertConfig(**values)).eval()
    del peer.config.classifier_input_shift  # as transformers writes it
    peer.save_pretrained(tmp_path)
    model = load_model(tmp_path, AlbertConfig.from_file(tmp_path)).eval()
    assert model.config.classifier_input_shift == 0.0
    with torch.no_grad():
        theirs = peer(*batch[:2], token_type_ids=batch[2]).logits
    torch.testing.assert_close(model(*batch).logits.detach(), theirs, atol=1e-6, rtol=0)


def test_a_pretrained_folder_gets_a_new_head(saved):
    model, _, folder = saved
    save_model(model, folder, with_classifier=False)
    assert not has_classifier(folder)
    config = AlbertConfig.from_file(folder)
    config.set_task(None)
    fresh = load_model(folder, config)
    assert fresh.classifier.weight.shape[0] == 1
    assert fresh.config.classifier_input_shift == 0.1
    torch.testing.assert_close(fresh.albert.state_dict(), model.albert.state_dict())


def test_unknown_keys_of_the_configuration_are_kept(tmp_path):
    values = AlbertConfig().to_dict() | {"net_structure_type": 0, "bos_token_id": 2}
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = AlbertConfig.from_file(tmp_path)
    assert config.to_dict().items() >= values.items()


@pytest.mark.parametrize("key", ["albert.pooler.weight", "classifier.bias"])
def test_missing_weights_are_named(saved, key):
    _, _, folder = saved
    state = read_weights(folder).state
    del state[key]
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"{key} is missing"):
        load_model(folder, AlbertConfig.from_file(folder))


def test_weights_of_another_shape_are_named(saved):
    _, _, folder = saved
    config = AlbertConfig.from_file(folder)
    config.set_task(("a", "b", "c"))
    with pytest.raises(OutputsError, match="a classifier for 2 classes, not for 3 classes"):
        load_model(folder, config)
    config.set_task(("0", "1"))
    config.intermediate_size += 1
    with pytest.raises(ValueError, match=r"ffn.bias is \[64\], not \[65\]"):
        load_model(folder, config)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_weights_are_one_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_weights(tmp_path)


def test_pickled_code_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("unpickled",))

    torch.save({"bert.x": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be read as model weights"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"model_type": "bert"}', '{"hidden_size": "wide"}', '{"vocab_size": null}'],
)
def test_a_bad_configuration_is_one_clear_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json is no ALBERT configuration"):
        AlbertConfig.from_file(tmp_path)
