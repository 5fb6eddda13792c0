"""Where embedding_size is hidden_size, albert_pytorch and Google map nothing, and Hugging Face does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import build_model, load_model, save_model
from model.configuration_albert import AlbertConfig
from model.google_albert import build_from_variables, variable_name

MAPPING = "albert.encoder.embedding_hidden_mapping_in"
SHAPE = {
    "vocab_size": 20, "embedding_size": 8, "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 9,
}  # fmt: skip


def batch():
    torch.manual_seed(3)
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return torch.randint(1, 20, (3, 7)), mask, torch.randint(0, 2, (3, 7))


def logits_of(model):
    ids, mask, types = batch()
    with torch.no_grad():
        return model.eval()(ids, mask, types).logits


@pytest.fixture
def theirs(tmp_path):
    """A classifier of albert_pytorch's; its file has a map all the same, as its modules make one."""
    torch.manual_seed(0)
    config = AlbertConfig(**SHAPE, initializer_range=0.5)
    config.set_task(("0", "1"))
    save_model(build_model(config, "albert_pytorch"), tmp_path / "theirs", "albert_pytorch")
    file = tmp_path / "theirs" / "pytorch_model.bin"
    state = torch.load(file, weights_only=True)
    size = SHAPE["hidden_size"]
    for kind, value in (("weight", torch.randn(size, size)), ("bias", torch.randn(size))):
        state[f"bert.encoder.embedding_hidden_mapping_in.{kind}"] = value
    torch.save(state, file)
    return tmp_path / "theirs"


def load(folder):
    return load_model(folder, AlbertConfig.from_file(folder))


def test_the_map_that_albert_pytorch_does_not_use_is_not_used(theirs, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = load(theirs)
    assert not [name for name, _ in model.named_parameters() if "mapping" in name]
    expected = logits_of(model)
    for layout in ("huggingface", "albert_pytorch"):  # There and back again.
        save_model(model, tmp_path / layout, layout)
        again = load(tmp_path / layout)
        assert not again.maps_embeddings
        torch.testing.assert_close(logits_of(again), expected, atol=1e-6, rtol=0)
    peer = transformers.AlbertForSequenceClassification.from_pretrained(tmp_path / "huggingface")
    ids, mask, types = batch()
    with torch.no_grad():
        found = peer.eval()(ids, mask, token_type_ids=types).logits
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    wrong = torch.load(theirs / "pytorch_model.bin", weights_only=True)
    weight = wrong["bert.encoder.embedding_hidden_mapping_in.weight"]
    peer.albert.encoder.embedding_hidden_mapping_in.weight.data = weight
    with torch.no_grad():
        assert (peer(ids, mask, token_type_ids=types).logits - expected).abs().max() > 0.05


def test_albert_pytorch_computes_the_same(theirs, tmp_path):
    source = os.environ.get("ALBERT_PYTORCH_SOURCE")
    if not source:
        pytest.skip(
            "ALBERT_PYTORCH_SOURCE names no checkout of lonePatient/albert_pytorch at 46de9ec"
        )
    torch.save(batch(), tmp_path / "batch.pt")
    model = load(theirs)
    save_model(model, tmp_path / "ours", "albert_pytorch")
    script = Path(__file__).with_name("reference_logits.py")
    for folder in (theirs, tmp_path / "ours"):
        words = [sys.executable, script, source, folder, tmp_path / "batch.pt", tmp_path / "out.pt"]
        subprocess.run(words, check=True, capture_output=True)
        found = torch.load(tmp_path / "out.pt", weights_only=True)
        torch.testing.assert_close(found, logits_of(model), atol=1e-6, rtol=0)


def test_hugging_faces_map_is_used_and_has_no_place_in_albert_pytorchs_layout(
    tmp_path, refused, sst2, pretrained
):
    config = AlbertConfig.from_file(pretrained)
    config.embedding_size = config.hidden_size
    model = build_model(config)
    folder = tmp_path / "model"
    save_model(model, folder)
    assert torch.equal(
        load(folder).state_dict()[f"{MAPPING}.weight"], model.state_dict()[f"{MAPPING}.weight"]
    )
    (folder / "spiece.model").write_bytes((pretrained / "spiece.model").read_bytes())
    flags = ("--model_name_or_path", folder, "--data_dir", sst2, "--do_train")
    line = refused(*flags, "--save_format", "albert_pytorch", status=2)
    assert "--save_format albert_pytorch: embedding_size is hidden_size (32): there alb" in line
    assert not (tmp_path / "outputs").exists()
    with pytest.raises(ValueError, match="has no linear map"):
        save_model(model, tmp_path / "never", "albert_pytorch")


def test_random_weights_have_a_map_where_the_layout_has_one():
    assert build_model(AlbertConfig(**SHAPE)).maps_embeddings
    assert not build_model(AlbertConfig(**SHAPE), "albert_pytorch").maps_embeddings
    assert build_model(
        AlbertConfig(**SHAPE | {"embedding_size": 4}), "albert_pytorch"
    ).maps_embeddings


def test_googles_checkpoint_without_a_map_is_read():
    config = AlbertConfig(**SHAPE)
    source = build_model(config, "albert_pytorch").state_dict()
    variables = {
        variable_name(key): (value.T if variable_name(key).endswith("/kernel") else value).numpy()
        for key, value in source.items()
    }
    assert not any("mapping" in name for name in variables)
    found = build_from_variables(variables, config, Path("ckpt"), Path("config.json"))
    assert not found.maps_embeddings
    for key, value in found.state_dict().items():
        assert np.array_equal(value, source[key]), key
