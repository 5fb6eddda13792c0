"""What a server says in place of a file, and weights of other kinds, are called what they are."""

import io
import json
import re
import shutil
import zipfile

import pytest
import torch

from model.checkpoint import read_weights
from model.configuration_albert import AlbertConfig
from model.file_kinds import server_reply, weights_kind
from model.tokenization_albert import AlbertTokenizer
from model.weights_file import find_weights
from processors.text_files import read_text

READERS = {
    "model.safetensors": read_weights,
    "pytorch_model.bin": read_weights,
    "spiece.model": lambda folder: AlbertTokenizer(folder / "spiece.model"),
    "config.json": AlbertConfig.from_file,
}
REPLIES = (
    "404: Not Found",
    "Entry not found\n",
    '{"error":"Repository not found"}',
    '{\n  "error": "Invalid credentials in Authorization header"\n}',
    "Invalid username or password.",
    "Access to model albert/private is restricted.",
    "Too Many Requests",
)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("reply", REPLIES)
def test_a_servers_reply_is_no_file(tmp_path, name, reply):
    (tmp_path / name).write_text(reply)
    words = f"{re.escape(name)}.* is what a server says in place of the file .*download it again"
    with pytest.raises(ValueError, match=words) as caught:
        READERS[name](tmp_path)
    assert "\n" not in str(caught.value)


def test_a_servers_reply_is_no_table(tmp_path):
    file = tmp_path / "train.tsv"
    file.write_text("404: Not Found")
    with pytest.raises(ValueError, match=r"train.tsv is what a server says in place of the file"):
        read_text(file, is_table=True)
    assert read_text(file) == "404: Not Found"  # A line to classify may say so.


@pytest.mark.parametrize(
    "content",
    [
        b"404: Not Found\ttext\nb\t1\n",
        b'{"model_type": "albert"}',
        b"4041 rows",
        b"",
        b"a film",
        b"\xff",
    ],
)
def test_what_is_no_reply(content):
    assert server_reply(content) is None


def zip_with(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")
    return file.getvalue()


def saved_by_torch(**options):
    file = io.BytesIO()
    torch.save({"albert.pooler.weight": torch.ones(2)}, file, **options)
    return file.getvalue()


# By the words that name it: what holds weights, or a file of another kind.
HDF5, GGUF = b"\x89HDF\r\n\x1a\n" + bytes(range(99)), b"GGUF\x03\0\0\0" + bytes(range(99))
ONNX = b"\x08\x07\x12\x07pytorch\x1a\x051.9\xff" + bytes(range(99))
OTHERS = {
    "HDF5, as Keras writes it": HDF5,
    "GGUF, as llama.cpp has it": GGUF,
    "ONNX": ONNX,
    "TensorFlow Lite's": b"\x1c\0\0\0TFL3" + bytes(range(99)),
    "NumPy's": b"\x93NUMPY\x01\0v\0" + bytes(range(99)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_weights_of_another_kind_are_named(tmp_path, kind):
    (tmp_path / "pytorch_model.bin").write_bytes(OTHERS[kind])
    words = (
        f"pytorch_model.bin is {kind}, which is not read here: get the model's model.safetensors"
    )
    with pytest.raises(ValueError, match=words):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["albert.gguf", "model.onnx"])
def test_weights_of_another_kind_are_named_by_their_name(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=rf"no weights in .*; {name} is (GGUF|ONNX)"):
        find_weights(tmp_path)


@pytest.mark.parametrize("name", ["spiece.model", "config.json"])
def test_weights_in_the_place_of_another_file_get_its_own_remedy(tmp_path, pretrained, name):
    remedy = {"spiece.model": "get the spiece.model that came with the weights",
              "config.json": "copy or download it again"}[name]  # fmt: skip
    contents = {f"({kind})": content for kind, content in OTHERS.items()}
    contents["(safetensors)"] = (pretrained / "model.safetensors").read_bytes()
    contents["(PyTorch's)"] = saved_by_torch(_use_new_zipfile_serialization=False)
    contents["(PyTorch's) or is a damaged archive"] = saved_by_torch()
    for words, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(f"holds weights {words}: {remedy}")):
            READERS[name](tmp_path)
    (tmp_path / name).write_bytes(zip_with("albert/spiece.model"))
    words = r"is still packed: unpack it, it is zip \(unzip\) and holds albert/spiece.model"
    with pytest.raises(ValueError, match=words):
        READERS[name](tmp_path)


def test_no_file_of_our_own_is_taken_for_weights(pretrained, vocabulary, tmp_path):
    assert weights_kind(vocabulary.read_bytes()) is None
    shutil.copy(vocabulary, tmp_path / "spiece.model")
    assert AlbertTokenizer(tmp_path / "spiece.model").vocab_size
    assert weights_kind((pretrained / "config.json").read_bytes()) is None
    two_marks = b"\xef\xbb\xbf" * 2 + (pretrained / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(two_marks)
    values = json.loads((pretrained / "config.json").read_text())
    assert AlbertConfig.from_file(tmp_path).hidden_size == values["hidden_size"]
