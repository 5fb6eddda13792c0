"""Damaged files of a model are read right or refused in one line that names them: 10,000 of each kind."""

import io
import json
import os
import tempfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from fuzzing import CASES, error_of, fuzz, mutate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from model.checkpoint import build_model, load_model, read_weights
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenization_albert import AlbertTokenizer
from model.tokenizer_export import save_tokenizer
from model.vocabulary_training import train_vocabulary
from model.weight_names import albert_pytorch_key
from model.weights_file import LARGEST, check_numbers


@pytest.fixture
def folder():
    """A folder in memory, where there is one: ten thousand files are a load for a disk."""
    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="albert_fuzz_") as name:
        yield Path(name)


TINY = {
    "vocab_size": 12, "embedding_size": 2, "hidden_size": 4, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 3, "max_position_embeddings": 4,
}  # fmt: skip
VALUES = {
    **TINY,
    "model_type": "albert",
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0,
    "attention_probs_dropout_prob": 0.1,
    "classifier_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "pad_token_id": 0,
    "id2label": {"0": "no", "1": "yes"},
    "label2id": {"no": 0, "yes": 1},
    "num_labels": 2,
    "problem_type": "single_label_classification",
    "architectures": ["AlbertModel"],
    "output_past": True,
}
ODD = (
    None, True, False, "", "2", "false", "NaN", -1, 0, 1, 2, 3, 1e9, 10**9, 10**30, -0.5, 0.0, 0.5, 1.5,
    2.0,
    [], [1], [[]], {}, {"0": "a"}, {"a": 0}, {"0": ["a"]}, {"0": "a", "1": "a"}, "\ud800", "\0", "a\nb",
)  # fmt: skip
ODD_TEXT = (
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "1" * 5000,
    "[" * 2000,
    "0x1",
    "'a'",
    "01",
    '"\\ud800"',
)


def small_state(layout):
    """Return a few of a model's tensors, of several types."""
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    names = ["albert.embeddings.LayerNorm.weight", "albert.pooler.weight", f"{layer}.ffn.bias"]
    names.append("classifier.bias")
    state = OrderedDict(
        (name, torch.linspace(-1, 1, 6).view(3, 2).to(dtype))
        for name, dtype in zip(names, dtypes, strict=True)
    )
    state["classifier.weight"] = torch.nn.Parameter(torch.ones(2, 3))
    state["albert.embeddings.position_ids"] = torch.arange(4).expand(1, -1)
    if layout == "albert_pytorch":
        return {albert_pytorch_key(key): value for key, value in state.items()}
    return state


def saved(state, **options):
    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


def read_all(folder):
    """Read weights as loading a model does; what comes of it must be fit for a model."""
    found = read_weights(folder)
    for name, value in found.state.items():
        if value.dtype != torch.int64:
            check_numbers(found.path, name, value)
            assert value.double().abs().max() <= LARGEST if value.numel() else True


@pytest.mark.parametrize("part", range(2))
def test_damaged_bin_files(folder, part):
    samples = [
        saved(small_state("huggingface")),
        saved({"state_dict": small_state("albert_pytorch"), "epoch": 3}),
    ]
    if part:
        old = {"_use_new_zipfile_serialization": False}
        samples = [saved(small_state("albert_pytorch"), **old)]
        samples.append(saved({"model": dict(small_state("huggingface"))}, **old))
    found = fuzz(
        folder / "pytorch_model.bin",
        lambda rng: mutate(rng.choice(samples), rng),
        lambda: read_all(folder),
        CASES // 2,
    )
    assert min(found["read"], found["refused"]) > CASES / 100, found


def test_damaged_safetensors(folder):
    state = {key: value.detach().contiguous() for key, value in small_state("huggingface").items()}
    raw = save(state, {"format": "pt"})
    length = int.from_bytes(raw[:8], "little")

    def make(rng):
        if rng.randrange(2):
            return mutate(raw, rng)
        header = mutate(raw[8 : 8 + length], rng)  # of the length that it says
        return len(header).to_bytes(8, "little") + header + raw[8 + length :]

    found = fuzz(folder / "model.safetensors", make, lambda: read_all(folder))
    assert min(found["read"], found["refused"]) > CASES / 100, found


def test_damaged_index(folder):
    """Weights in two files, and the list of them damaged."""
    state = {key: value.detach().contiguous() for key, value in small_state("huggingface").items()}
    (folder / "a.safetensors").write_bytes(save(state))
    (folder / "b.safetensors").write_bytes(save({"classifier.more": torch.ones(2)}))
    files = dict.fromkeys(state, "a.safetensors") | {"classifier.more": "b.safetensors"}
    raw = json.dumps({"metadata": {"of": "the same" * 60}, "weight_map": files}).encode()
    index = folder / "model.safetensors.index.json"
    found = fuzz(index, lambda rng: mutate(raw, rng), lambda: read_all(folder), CASES // 5)
    assert min(found["read"], found["refused"]) > CASES / 1000, found


def test_damaged_configurations(folder):
    raw = json.dumps(VALUES).encode()
    path = folder / "config.json"

    def make(rng):
        if rng.randrange(2):
            return mutate(raw, rng)
        values = dict(VALUES)
        for _ in range(rng.choice((1, 1, 2, 3))):
            values[rng.choice((*VALUES, "unknown"))] = rng.choice(ODD)
        text = json.dumps(values, ensure_ascii=True)
        if rng.randrange(4) == 0:
            text = text.replace(": 0.1", f": {rng.choice(ODD_TEXT)}")
        return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32")))

    found = fuzz(path, make, lambda: check_configuration(path))
    assert min(found["read"], found["refused"]) > CASES / 20, found


def check_configuration(path):
    """Read a configuration; what comes of it must be written and read the same, and be a model's."""
    config = AlbertConfig.from_file(path)
    text = config.to_json()
    assert AlbertConfig.from_dict(json.loads(text)).to_json() == text
    text.encode()
    assert len(config.labels) == config.num_labels
    if config.num_hidden_layers * config.inner_group_num < 10 and len(text) % 20 == 0:
        with torch.device("meta"):
            model = AlbertForSequenceClassification(config)
        assert sum(value.numel() for value in model.parameters()) == config.weight_count


def test_damaged_vocabularies(folder):
    corpus = ["a fine film in 2013, a b c d e f g", "the sea 1 2 3 we saw"] * 20
    raw = train_vocabulary(
        corpus, 60, hard_vocab_limit=False, split_by_number=False,
        normalization_rule_name="identity",
    )  # fmt: skip
    path = folder / "spiece.model"
    (folder / "again").mkdir()

    def read():
        tokenizer = AlbertTokenizer(path, do_lower_case=True)
        ids, _ = tokenizer.encode_flat(["a fine film in 2013,", "☃ ½,", ""])
        assert not len(ids) or 0 <= ids.min() <= ids.max() < tokenizer.vocab_size
        save_tokenizer(tokenizer, folder / "again")
        json.loads((folder / "again" / "tokenizer.json").read_text(encoding="utf-8"))

    found = fuzz(path, lambda rng: mutate(raw, rng), read)
    assert min(found["read"], found["refused"]) > CASES / 100, found


def test_damaged_tokenizer_configurations(folder, vocabulary):
    raw = json.dumps({"tokenizer_class": "AlbertTokenizer", "do_lower_case": False}).encode()
    (folder / "spiece.model").write_bytes(vocabulary.read_bytes())
    path = folder / "tokenizer_config.json"

    def read():
        assert AlbertTokenizer(folder / "spiece.model").do_lower_case in (True, False)

    found = fuzz(path, lambda rng: mutate(raw, rng), read, CASES // 10)
    assert min(found["read"], found["refused"]) > CASES / 500, found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(
    max_examples=max(CASES // 20, 1),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.dictionaries(st.sampled_from(sorted(VALUES)), JSON, min_size=1, max_size=2))
def test_any_value_of_a_configuration(folder, changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**VALUES, **changes}))
    error = error_of(lambda: check_configuration(path))
    assert error is None or (type(error) is ValueError and str(path) in str(error)), error


def test_what_is_read_of_damaged_weights_loads(folder):
    """A whole model's file, changed: loaded, or refused."""
    model = build_model(AlbertConfig(**TINY))
    raw = saved(model.state_dict())
    found = fuzz(
        folder / "pytorch_model.bin",
        lambda rng: mutate(raw, rng),
        lambda: load_model(folder, AlbertConfig(**TINY)),
        CASES // 50,
    )
    assert found["read"], found
