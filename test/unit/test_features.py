"""Examples become flat arrays of ids, and a cache that is right or not used."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from crashes import FullDisk
from helpers import DATA, encode, make_examples, rows_of, sentences

from model.files import write_whole
from model.tokenization_albert import AlbertTokenizer
from processors.batching import BatchPlan
from processors.features import build_features, load_features, truncate
from processors.glue import TASKS
from processors.loading import BatchBuilder
from processors.reading import read_examples


def one_at_a_time(length_a, length_b, budget):
    while length_a + length_b > budget:
        if length_a > length_b:
            length_a -= 1
        else:
            length_b -= 1
    return length_a, length_b


def test_truncation_equals_taking_one_token_at_a_time():
    a, b = np.divmod(np.arange(144), 12)
    for budget in range(1, 25):
        kept = zip(*truncate(a, b, budget), strict=True)
        expected = [one_at_a_time(*pair, budget) for pair in zip(a, b, strict=True)]
        assert list(kept) == expected, budget


def test_features_of_a_pair(tokenizer):
    features = build_features(make_examples(("the film", "a film", 2.5)), tokenizer, 64, True)
    (a, b), (cls, sep) = encode(tokenizer, ["the film", "a film"]), (2, 3)
    assert features.input_ids.tolist() == [cls, *a, sep, *b, sep]
    assert features.first_lengths.tolist() == [len(a) + 2]
    assert features.labels.tolist() == [2.5]
    assert features.labels.dtype == np.float32


def test_an_empty_text_is_still_an_example(tokenizer):
    features = build_features(make_examples(("", None, 1)), tokenizer, 64, False)
    assert features.input_ids.tolist() == [2, 3]


@pytest.mark.parametrize("pair", [None, "a fine and moving film by the sea"])
def test_no_example_is_longer_than_asked(tokenizer, pair):
    examples = make_examples(("the acting is wonderful from start to end", pair, 0))
    for limit in (5, 6, 9):
        features = build_features(examples, tokenizer, limit, False)
        assert features.lengths.tolist() == [limit]
        assert features.input_ids[-1] == tokenizer.sep_id


def caches(folder):
    return sorted(folder.glob("cached_*"))


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in vars(a))


def test_the_cache_gives_the_same_features(sst2, tokenizer):
    first = load_features(TASKS["sst-2"], sst2 / "train.tsv", "train", tokenizer, 32)
    cache = caches(sst2)
    before = cache[0].stat().st_mtime_ns
    assert same(first, load_features(TASKS["sst-2"], sst2 / "train.tsv", "train", tokenizer, 32))
    assert caches(sst2) == cache
    assert cache[0].stat().st_mtime_ns == before
    load_features(TASKS["sst-2"], sst2 / "train.tsv", "train", tokenizer, 32, overwrite_cache=True)
    assert cache[0].stat().st_mtime_ns > before


def test_the_cache_follows_data_vocabulary_and_flags(sst2, tokenizer, vocabulary):
    load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 16)
    load_features(
        TASKS["sst-2"],
        sst2 / "dev.tsv",
        "dev",
        AlbertTokenizer(vocabulary, do_lower_case=False),
        32,
    )
    assert len(caches(sst2)) == 3
    with (sst2 / "dev.tsv").open("a") as file:
        file.write("one more film\t1\n")
    assert len(load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)) == 31
    assert len(caches(sst2)) == 4


def test_the_cache_follows_the_encoding(tmp_path, tokenizer):
    """The same bytes are other texts in another encoding."""
    path = tmp_path / "dev.tsv"
    path.write_bytes("sentence\tlabel\ncaf\u00e9\t1\n".encode("latin-1"))
    tasks = [replace(TASKS["sst-2"], encoding=name) for name in ("latin-1", "cp1251")]
    first, second = (load_features(task, path, "dev", tokenizer, 32) for task in tasks)
    assert not same(first, second)
    assert same(first, load_features(tasks[0], path, "dev", tokenizer, 32))
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        load_features(TASKS["sst-2"], path, "dev", tokenizer, 32)


def test_half_a_cache_of_a_killed_run_is_taken_away(sst2, tokenizer):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)  # Now nobody has its number.
    half = sst2 / f".writing-{child}-cached_dev_0123456789abcdef.safetensors"
    half.write_bytes(b"half")
    load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    assert not half.exists()


def test_a_full_disk_costs_the_cache_alone(sst2, tokenizer, caplog):
    with FullDisk(sst2, after=0).installed():
        assert len(load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)) == 30
    assert f"features are not cached: no space is left on the disk of {sst2}: free" in caplog.text
    assert not caches(sst2)


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_a_damaged_cache_is_built_again(sst2, tokenizer, caplog, keep):
    first = load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    content = caches(sst2)[0].read_bytes()
    caches(sst2)[0].write_bytes(content[: int(len(content) * keep) if keep == 0.5 else keep])
    assert same(first, load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32))
    assert "is damaged and is built again" in caplog.text
    caplog.clear()
    assert same(first, load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32))
    assert "is damaged and is built again" not in caplog.text


@pytest.mark.parametrize("place", [-1, -100])
def test_a_changed_byte_is_no_feature(sst2, tokenizer, caplog, place):
    first = load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    content = bytearray(caches(sst2)[0].read_bytes())
    content[place] ^= 1
    caches(sst2)[0].write_bytes(content)
    assert same(first, load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32))
    assert "is damaged and is built again" in caplog.text


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what is mapped")
def test_the_cache_is_mapped_and_may_be_replaced(sst2, tokenizer):
    load = partial(load_features, TASKS["sst-2"], sst2 / "train.tsv", "train", tokenizer, 32)
    built, read = load(), load()
    cache = caches(sst2)[0]
    assert str(cache) in Path("/proc/self/maps").read_text()
    load(overwrite_cache=True)
    write_whole(cache, b"something else")
    assert same(built, read)


def test_a_mapped_cache_gives_tensors_without_a_warning(sst2, stsb, tokenizer, recwarn):
    for task, folder in ((TASKS["sst-2"], sst2), (TASKS["sts-b"], stsb)):
        load = partial(load_features, task, folder / "dev.tsv", "dev", tokenizer, 32)
        built, read = load(), load()
        plan = BatchPlan(np.arange(len(read)), 32)
        expected, batch = (
            BatchBuilder(features, torch.device("cpu"))(plan) for features in (built, read)
        )
        assert all(torch.equal(expected[name], batch[name]) for name in batch)
    assert not recwarn.list


def one_by_one(rows, tokenizer, max_length):
    """Return the ids of each example and its first length, put together token by token."""
    made = []
    for a, b, _ in rows:
        ids_a, ids_b = encode(tokenizer, [a, b or ""])
        keep_a, keep_b = one_at_a_time(len(ids_a), len(ids_b), max_length - (2 if b is None else 3))
        first = [tokenizer.cls_id, *ids_a[:keep_a], tokenizer.sep_id]
        second = [] if b is None else [*ids_b[:keep_b], tokenizer.sep_id]
        made.append((first + second, len(first)))
    return made


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("max_length", [5, 16, 33])
def test_many_examples_are_one_example_many_times(tokenizer, pairs, max_length):
    texts = [text for text, _ in sentences(40)] + ["", "2013, ☃", "☃", "", "in 2, and 12, films"]
    rows = [
        (a, b if pairs else None, 0) for a, b in zip(texts, [*texts[7:], *texts[:7]], strict=True)
    ]
    features = build_features(make_examples(*rows), tokenizer, max_length, False)
    ids = np.split(features.input_ids, features.offsets[1:-1])
    found = zip(map(np.ndarray.tolist, ids), features.first_lengths, strict=True)
    assert list(found) == one_by_one(rows, tokenizer, max_length)


def test_golden_features_of_real_pairs(real_data):
    tokenizer = AlbertTokenizer(real_data / "albert_base_v2" / "spiece.model")
    goldens = json.loads((DATA / "features_stsb_len24.json").read_text())
    examples = read_examples(TASKS["sts-b"], real_data / "STS-B" / "dev.tsv", "dev")
    rows = rows_of(examples)[: len(goldens)]
    features = build_features(make_examples(*rows), tokenizer, 24, True)
    batch = BatchBuilder(features, torch.device("cpu"))(BatchPlan(np.arange(len(goldens)), 24))
    for name, array in batch.items():
        if name != "labels":
            assert array.int().tolist() == [golden[name] for golden in goldens]
