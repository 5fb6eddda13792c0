"""What people have in the place of a model's files is called what it is, with what to do about it."""

import gzip
import io
import json
import os
import re
import shutil
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint import build_model, has_classifier, load_model, read_weights, save_model
from model.configuration_albert import AlbertConfig
from model.tokenization_albert import AlbertTokenizer
from model.weight_names import albert_pytorch_key
from model.weights_file import LARGEST, find_weights

TINY = {
    "vocab_size": 12, "embedding_size": 4, "hidden_size": 6, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 9,
}  # fmt: skip
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 46747112\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>albert-base-v2</title></head></html>"


def tar_of(content):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("albert/model")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def zip_of(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("albert_base_v2/model"), content)
    return file.getvalue()


# By name: a file's content, and the words that tell what it is and what to do.
STRANGE = {
    "lfs": (LFS, r"is a Git LFS pointer, not the file itself: run git lfs pull"),
    "page": (PAGE, r"is a web page, not the file itself: download .* /resolve/ in place of /blob/"),
    "text": (b"A model of mine", r"is a text file, which begins with 'A model of mine': copy or"),
    "json": (b'[{"a": 1}]', r"is a JSON file, not the file itself: copy or download it again"),
    "utf-16": ("text".encode("utf-16"), r"is a text file in UTF-16, not the file itself: copy or"),
    "gzip": (gzip.compress(b"model", mtime=0), r"is still packed: unpack it, it is gzip"),
    "tar": (tar_of(b"model"), r"is still packed: unpack it, it is tar"),
    "empty": (b"", r"is empty: copy or download it again"),
    "zeros": (bytes(5000), r"begins with zeros alone: it was not written to its end"),
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path):
    """A small model in its folder, and its state in Hugging Face's names."""
    torch.manual_seed(0)
    model = build_model(AlbertConfig(**TINY))
    save_model(model, tmp_path)
    return tmp_path, load_file(tmp_path / "model.safetensors")


def put(folder, state, name="pytorch_model.bin"):
    """Have ``folder`` hold these weights, and no others."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    torch.save(state, folder / name)
    return folder


def load(folder):
    return load_model(folder, AlbertConfig.from_file(folder))


def same(model, state, names=None):
    """Return whether a model's encoder has the weights of a state."""
    found = model.state_dict()
    keys = [key for key in state if key.startswith("albert.")]
    return all(torch.equal(found[key], state[key]) for key in keys)


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("model.safetensors", read_weights),
        ("pytorch_model.bin", read_weights),
        ("spiece.model", lambda folder: AlbertTokenizer(folder / "spiece.model")),
        ("config.json", AlbertConfig.from_file),
        ("tokenizer_config.json", lambda folder: AlbertTokenizer(folder / "spiece.model")),
    ],
)
def test_a_file_is_called_what_it_is(tmp_path, name, read, kind):
    content, words = STRANGE[kind]
    if kind == "text" and name.endswith("json"):
        words = "it is not JSON"
    if kind in ("json", "utf-16") and name.endswith("json"):
        words = {"json": "it holds no JSON object; mend it", "utf-16": "is UTF-16, not UTF-8"}[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / name))}.* {words}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_zip_that_is_still_packed_is_no_pytorch_file(tiny):
    folder, state = tiny
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(zip_of(b"weights"))
    with pytest.raises(ValueError, match=r"still packed.* holds albert_base_v2/model"):
        load(folder)
    assert same(load(put(folder, state)), state)  # as torch.save's zip archive is read


def test_a_torchscript_program_is_named(tiny):
    folder, _ = tiny
    script = torch.jit.script(torch.nn.Linear(2, 2))
    (folder / "model.safetensors").unlink()
    torch.jit.save(script, folder / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match="pytorch_model.bin is a TorchScript program: save the state_dict"
    ):
        load(folder)  # fmt: skip


def test_weights_are_read_as_what_they_hold_not_as_they_are_called(tiny):
    folder, state = tiny
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert has_classifier(folder)
    assert same(load(folder), state)
    torch.save(state, folder / "model.safetensors")
    assert has_classifier(folder)
    assert same(load(folder), state)


def shard(folder, state, files=2):
    """Write a state in several files with an index, as large models are saved."""
    (folder / "model.safetensors").unlink()
    names = [f"model-{i:05}-of-{files:05}.safetensors" for i in range(files)]
    where = {key: names[number % files] for number, key in enumerate(state)}
    for name in names:
        save_file({key: state[key] for key, file in where.items() if file == name}, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return index, names


def test_weights_in_several_files_are_read(tiny):
    folder, state = tiny
    index, names = shard(folder, state)
    assert find_weights(folder) == index
    assert has_classifier(folder)
    assert same(load(folder), state)
    (folder / names[1]).unlink()
    with pytest.raises(FileNotFoundError, match=f"2 files of weights, but {names[1]} is not in"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files | {"albert.more": "model-00000-of-00002.safetensors"}, "lists albert.more"),
        (lambda files: files | {"albert.more": "../other.safetensors"}, "not a file beside it"),
        (lambda files: files | {"albert.more": 3}, "is in 3, not a file beside it"),
        (lambda files: {}, r"its weight_map is \{\}"),
        (lambda files: [], r"its weight_map is \[\]"),
    ],
)  # fmt: skip
def test_an_index_that_is_wrong_is_named(tiny, change, words):
    folder, state = tiny
    index, _ = shard(folder, state)
    files = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": change(files)}))
    with pytest.raises(ValueError, match=f"{index.name}.*{words}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tf_model.h5", "tf_model.h5 is Keras's"),
        ("flax_model.msgpack", "flax_model.msgpack is Flax's"),
        (
            "model.ckpt-best.index",
            "TensorFlow checkpoint: python -m tools.convert_tf_checkpoint reads it",
        ),
        (
            "variables/variables.index",
            "Hub module's: python -m tools.convert_tf_checkpoint reads it",
        ),
        ("albert_base_v2.tar.gz", "albert_base_v2.tar.gz is still packed: unpack it there"),
        ("albert.zip", "albert.zip is still packed: unpack it there"),
        ("adapter_model.safetensors", "is an adapter"),
        ("weights.safetensors", "if it holds the weights, call it model.safetensors"),
        ("model.pth", "if it holds the weights, call it pytorch_model.bin"),
    ],
)
def test_what_is_in_the_place_of_weights_is_named(tmp_path, name, words):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    (tmp_path / "training_args.bin").touch()
    with pytest.raises(FileNotFoundError, match=f"no weights in .*{words}") as caught:
        find_weights(tmp_path)
    assert "training_args" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("model.safetensors", find_weights),
        ("spiece.model", lambda folder: AlbertTokenizer(folder / "spiece.model")),
        ("config.json", AlbertConfig.from_file),
        ("tokenizer_config.json", lambda folder: AlbertTokenizer(folder / "spiece.model")),
    ],
)
def test_a_link_that_leads_nowhere_is_named_with_its_target(tmp_path, name, read):
    (tmp_path / name).symlink_to("../../blobs/4d7a21")
    with pytest.raises(
        FileNotFoundError, match=f"{name} is a link to ../../blobs/4d7a21, which is not"
    ):
        read(tmp_path)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, refused, pretrained):
    shutil.copytree(pretrained, tmp_path / "model")
    for name, line in (
        ("model.safetensors", "is a folder, not a file"),
        ("config.json", "is a folder, not a file"),
    ):
        file = tmp_path / "model" / name
        file.unlink()
        file.mkdir()
        words = ("--model_name_or_path", tmp_path / "model", "--do_train", "--data_dir", "none")
        assert f"{name} {line}" in refused(*words, status=2)
    with pytest.raises(IsADirectoryError):
        AlbertConfig.from_file(tmp_path / "model")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_no_damage(tiny):
    folder, state = tiny
    put(folder, state)
    (folder / "pytorch_model.bin").chmod(0)
    with pytest.raises(PermissionError, match="pytorch_model.bin"):
        load(folder)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_weight_that_no_training_makes_is_found_at_loading(tiny, number, name):
    folder, state = tiny
    state["albert.pooler.weight"][2, 3] = number
    put(folder, state)
    if name == "model.safetensors":
        (folder / "pytorch_model.bin").unlink()
        save_file(state, folder / name)
    with pytest.raises(
        ValueError, match=re.escape(f"{name}: albert.pooler.weight holds {number:g}, ")
    ) as caught:
        load(folder)
    assert "learning_rate" not in str(caught.value)


def test_fp16s_largest_number_is_no_damage(tiny):
    folder, state = tiny
    state["albert.pooler.weight"][2, 3] = LARGEST
    assert load(put(folder, state)).albert.pooler.weight.max() == LARGEST


def test_weights_that_a_training_made_infinite_are_its_learning_rates_fault(tmp_path):
    model = build_model(AlbertConfig(**TINY))
    model.albert.pooler.weight.data[0, 0] = float("inf")
    with pytest.raises(ValueError, match="try a lower --learning_rate"):
        save_model(model, tmp_path)


NEWER = pytest.mark.newer_torch("cannot save fp8")
TYPES = ["int8", "uint8", "int64", "bool", "complex64"]
TYPES += [pytest.param(name, marks=NEWER) for name in ("float8_e4m3fn", "float8_e5m2")]


@pytest.mark.parametrize("kind", TYPES)
def test_weights_of_a_type_that_does_not_train_are_refused(tiny, kind):
    folder, state = tiny
    state["albert.pooler.weight"] = state["albert.pooler.weight"].to(getattr(torch, kind))
    words = f"albert.pooler.weight is {kind}, but weights are fp32, fp16, bf16 or fp64"
    with pytest.raises(ValueError, match=words):
        load(put(folder, state))


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_weights_of_other_floating_types_become_fp32(tiny, kind):
    folder, state = tiny
    state = {key: value.to(getattr(torch, kind)) for key, value in state.items()}
    model = load(put(folder, state))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    torch.testing.assert_close(
        model.albert.pooler.weight.data, state["albert.pooler.weight"].float()
    )


@pytest.mark.parametrize("tensor", [torch.ones(6, 6).to_sparse(), torch.ones(6, 6, device="meta")])
def test_tensors_without_numbers_are_refused(tiny, tensor):
    folder, state = tiny
    with pytest.raises(ValueError, match="albert.pooler.weight is no ordinary tensor"):
        load(put(folder, state | {"albert.pooler.weight": tensor}))


def test_a_tensor_larger_than_its_file_is_refused_before_it_fills_the_memory(tiny):
    folder, state = tiny
    huge = torch.ones(1).expand(2**40)
    with pytest.raises(
        ValueError, match=r"pooler.weight is \[1099511627776\], which is more than the file"
    ):
        load(put(folder, state | {"albert.pooler.weight": huge}))  # fmt: skip


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "ema": state, "step": 5},
        lambda state: {"what I called it": state},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
        lambda state: {k.removeprefix("albert."): v for k, v in state.items()},
        lambda state: {albert_pytorch_key(k).removeprefix("bert."): v for k, v in state.items()},
        lambda state: {f"module.{albert_pytorch_key(k)}": v for k, v in state.items()},
    ],
    ids=[
        "state_dict", "model and another", "another name", "DataParallel", "compiled", "Lightning",
        "AlbertModel alone", "albert_pytorch's alone", "albert_pytorch's DataParallel",
    ],
)  # fmt: skip
def test_weights_in_a_wrapper_or_without_their_prefix_are_read(tiny, wrap):
    folder, state = tiny
    put(folder, wrap(state))
    assert has_classifier(folder)
    assert same(load(folder), state)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.ones(3), "it holds one Tensor, no named tensors: save the model's state_dict"),
        ([torch.ones(3)], "it holds one list, no named tensors"),
        ({"epoch": 3, "loss": 0.5}, "its 'epoch' is of the type int, not a tensor with a name"),
        ({3: torch.ones(3)}, "its 3 is of the type Tensor, not a tensor with a name"),
        ({}, "there is no weight in it"),
    ],
)
def test_what_is_no_state_is_named(tmp_path, content, words):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=f"pytorch_model.bin.*{words}"):
        read_weights(tmp_path)


def test_a_class_beside_the_tensors_is_named_and_not_made(tmp_path):
    torch.save({"state_dict": {}, "cfg": zipfile.ZipInfo("x")}, tmp_path / "pytorch_model.bin")
    words = "beside tensors it holds zipfile.ZipInfo, and code in a file is never run here: save"
    with pytest.raises(ValueError, match=words):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("key", "whose"),
    [
        ("bert.encoder.layer.0.attention.self.query.weight", "BERT's"),
        ("encoder.layer.0.attention.self.query.weight", "BERT's"),
        ("roberta.encoder.layer.0.attention.self.query.weight", "RoBERTa's"),
        ("distilbert.transformer.layer.0.attention.q_lin.weight", "DistilBERT's"),
        ("electra.encoder.layer.0.attention.self.query.weight", "ELECTRA's"),
        ("transformer.h.0.attn.c_attn.weight", "GPT's"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "T5's"),
        ("model.layers.0.self_attn.q_proj.weight", "a language model's"),
        ("base_model.model.albert.pooler.lora_A.weight", "an adapter's"),
        ("fc.weight", "its first weight is 'fc.weight', not albert"),
    ],
)
def test_weights_of_another_network_are_named(tmp_path, key, whose):
    save_file({key: torch.ones(2)}, tmp_path / "model.safetensors")
    for read in (read_weights, has_classifier):
        with pytest.raises(ValueError, match=f"model.safetensors: .*{whose}"):
            read(tmp_path)
