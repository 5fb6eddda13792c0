"""Small data, a small vocabulary and a small model, made by the tests themselves."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from model.tokenization_albert import AlbertTokenizer
from model.tokenizer_export import save_tokenizer
from tools.prepare_demo import train_vocabulary

# Models this small gain nothing from threads, which wait for each other where something else runs too.
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
# A launcher's flags for the small data and the small model.
SMALL = ("--device=cpu", "--batch_size=8", "--", "--max_seq_length=32", "--max_steps=10")

GOOD = ("a fine and moving film", "the acting is wonderful", "we loved this warm story")
BAD = ("a dull and tired film", "the acting is terrible", "we hated this cold story")
FILLER = ("with 2,013 scenes", "in the city", "from start to end", "as they say", "by the sea", "")


def sentences(count, seed=0):
    """Return ``count`` (sentence, label) pairs that a small model can learn to tell apart."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(count):
        label = chance.randrange(2)
        extra = " ".join(chance.choices(FILLER, k=chance.randrange(1, 5)))
        pairs.append((f"{chance.choice((BAD, GOOD)[label])} {extra}".strip(), str(label)))
    return pairs


def write_sst2(folder, train=160, dev=30, test=10):
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("dev", dev)):
        rows = [f"{text}\t{label}" for text, label in sentences(count, seed=len(split))]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    rows = [f"{index}\t{text}" for index, (text, _) in enumerate(sentences(test, seed=9))]
    (folder / "test.tsv").write_text("\n".join(["index\tsentence", *rows]) + "\n")
    return folder


def write_stsb(folder, train=64, dev=30, test=10):
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        first, second = sentences(count, seed=len(split)), sentences(count, seed=len(split) + 50)
        rows = [
            f"{i}\tgenre\t{a}\t{b}" + ("" if split == "test" else f"\t{5.0 * (la == lb):.3f}")
            for i, ((a, la), (b, lb)) in enumerate(zip(first, second, strict=True))
        ]
        header = "index\tgenre\tsentence1\tsentence2" + ("" if split == "test" else "\tscore")
        (folder / f"{split}.tsv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """A SentencePiece model with ALBERT's special tokens, and pieces that end in digit + comma."""
    corpus = [text for text, _ in sentences(300)]
    corpus += [" ".join("abcdefghijklmnopqrstuvwxyz0123456789,.![]()/\"'")] * 5
    corpus += ["in 2013, and 12, or 2, as of 2, 3, and 42, 2013,"] * 60
    model = train_vocabulary(
        corpus, 150, hard_vocab_limit=False, split_by_unicode_script=False, split_by_number=False
    )
    path = tmp_path_factory.mktemp("vocabulary") / "spiece.model"
    path.write_bytes(model)
    return path


def encode(tokenizer, texts):
    """Return the ids of each text, as a list."""
    ids, lengths = tokenizer.encode_flat(texts)
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]


@pytest.fixture(scope="session")
def tokenizer(vocabulary):
    return AlbertTokenizer(vocabulary)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory, tokenizer):
    """An ALBERT folder without a classifier, as published models are."""
    folder = tmp_path_factory.mktemp("albert_tiny")
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.1,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    save_model(build_model(config), folder, with_classifier=False)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture
def no_dropout(pretrained, tmp_path):
    """The same model without dropout: its draws differ from process to process."""
    folder = tmp_path / "no_dropout"
    shutil.copytree(pretrained, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "classifier_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def sst2(tmp_path):
    return write_sst2(tmp_path / "dataset" / "SST-2")


@pytest.fixture
def stsb(tmp_path):
    return write_stsb(tmp_path / "dataset" / "STS-B")


def command(*words, cwd, **environment):
    """Run a command as a user would and return what it did."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture
def run_classifier(pretrained, tmp_path):
    """Call run_classifier.py on the small model, in a folder of its own."""

    def call(*flags):
        own = ("--model_name_or_path", pretrained, "--max_seq_length", 32, "--device", "cpu")
        return command(sys.executable, ROOT / "run_classifier.py", *own, *flags, cwd=tmp_path)

    return call


@pytest.fixture
def clone(tmp_path, pretrained):
    """A copy of the project with small data and a small model where launchers look by default."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns(
        ".*", "outputs", "output", "dataset", "prev_trained_model", "unit"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    write_sst2(folder / "dataset" / "SST-2")
    write_stsb(folder / "dataset" / "STS-B")
    shutil.copytree(pretrained, folder / "prev_trained_model" / "albert_base_v2")
    return folder


def launch(clone, name, *flags, cwd=None, **environment):
    """Start a launcher in the environment of these tests."""
    environment = {"VIRTUAL_ENV": sys.prefix} | environment
    return command("bash", clone / "test" / name, *flags, cwd=cwd or clone, **environment)


@pytest.fixture(scope="session")
def real_data():
    """The folder with SST-2/, STS-B/ and albert_base_v2/ that ALBERT_TEST_DATA names."""
    folder = os.environ.get("ALBERT_TEST_DATA")
    if not folder:
        pytest.skip("ALBERT_TEST_DATA names no folder with SST-2/, STS-B/ and albert_base_v2/")
    return Path(folder)
