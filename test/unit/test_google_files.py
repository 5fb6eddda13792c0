"""Files of Google's checkpoints that are something else, and variables that are no weights, are named."""

from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from model.google_albert import build_from_variables, variable_name
from tools.convert_tf_checkpoint import check_files, find_checkpoint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer, not the file itself",
        ),
        (b"<!doctype html><html></html>", "is a web page, not the file itself"),
        (b"", "is empty: copy or download it again"),
    ],
)
@pytest.mark.parametrize("name", ["model.ckpt-best.index", "model.ckpt-best.data-00000-of-00001"])
def test_files_that_are_no_checkpoint_are_called_what_they_are(tmp_path, name, content, words):
    (tmp_path / "model.ckpt-best.index").write_bytes(bytes(range(200)))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} {words}"):
        check_files(find_checkpoint(tmp_path))


def test_a_folder_of_this_project_needs_no_conversion(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(
        FileNotFoundError, match="model.safetensors is PyTorch's: use the folder as it"
    ):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((6, 6), np.nan), "holds nan, which is no weight"),
        (np.full((6, 6), 1e300), "holds inf, which is no weight"),
        (np.full((6, 6), -1e30), r"holds -1e\+30, which is no weight"),
        (np.ones((6, 6), np.int64), "is int64, but weights are floating-point numbers"),
        (np.full((6, 6), b"1"), r"is \|S1, but weights are floating-point numbers"),
    ],
)
def test_variables_that_are_no_weights_are_named(array, words):
    config = AlbertConfig(
        vocab_size=20, embedding_size=4, hidden_size=6, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=9,
    )  # fmt: skip
    state = build_model(config).state_dict()
    variables = {variable_name(key): value.numpy().T for key, value in state.items()}
    variables |= {
        name: value.T for name, value in variables.items() if name.endswith("_embeddings")
    }
    variables |= {name: value.T for name, value in variables.items() if name.startswith("output_")}
    paths = (Path("ckpt"), Path("albert_config.json"))
    assert build_from_variables(variables, config, *paths)
    variables["bert/pooler/dense/kernel"] = array
    with pytest.raises(ValueError, match=f"^ckpt: bert/pooler/dense/kernel {words}"):
        build_from_variables(variables, config, *paths)
