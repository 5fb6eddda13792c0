"""What is said of the data: repeated texts, contradictions, lengths; by a run and by the command."""

import logging
import time

import numpy as np
import pytest
from helpers import make_examples

from model.vocabulary import load_tokenizer
from processors.data_check import Repeats, either_order, text_keys
from processors.features import build_features, load_features
from processors.glue import TASKS
from processors.reading import read_examples
from tools.run.data_check import log_data_check


def count(found):
    """Return the rows of a split that repeat another, contradict it, stand in train, contradict that."""
    counts = (found.repeated, found.contradicts, found.in_train >= 0, found.contradicts_train)
    return [int(which.sum()) for which in counts]


def test_a_row_repeats_the_first_one_of_its_text():
    keys = text_keys([["A film.", "a  FILM. ", "a film", "A film."]], False)
    found = Repeats.of(keys, np.array([1, 0, 1, 1]))
    assert found.first.tolist() == [0, 0, 2, 0]
    assert found.contradicts.tolist() == [False, True, False, False]
    dev = Repeats.of(text_keys([["a film", "new", "A FILM."]], False), None, (keys, np.zeros(4)))
    assert dev.in_train.tolist() == [2, -1, 0]
    assert not dev.contradicts_train.any()  # It has no labels.
    sets = np.array([[1, 0], [1, 1], [1, 0], [1, 0]])
    assert Repeats.of(keys, sets).contradicts.tolist() == [False, True, False, False]


def test_pairs_change_places_where_none_comes_first():
    columns = [["a", "b", "a"], ["b", "a", "c"]]
    assert len(set(text_keys(columns, True))) == 2
    assert len(set(text_keys(columns, False))) == 3
    found = {name for name, task in TASKS.items() if either_order(task)}
    assert found == {"mrpc", "qqp", "lcqmc", "sts-b"}


def test_a_run_says_it_in_three_lines(tokenizer, caplog):
    caplog.set_level(logging.INFO)
    rows = (("a fine film", 1), ("A fine film", 0), ("dull", 0), ("", 1), ("good " * 40, 1))
    train, dev = (
        build_features(
            make_examples(*((a, None, label) for a, label in part)), tokenizer, 32, False
        )
        for part in (rows, rows[1:3])
    )
    facts = log_data_check(TASKS["sst-2"], tokenizer, {"train": [train], "dev": [dev]})
    classes, texts, tokens = facts["lines"]
    assert classes == (
        "classes of train: 0 (2), 1 (3), always 1 would be right for 60.0 %; "
        "of dev: 0 (2), 1 (0), always 0 would be right for 100.0 %"
    )
    assert texts == (
        "repeated inputs of train: 1 of 5 rows, 1 with another label; "
        "of dev: 0 of 2 rows, 2 also in train (1 with another label)"
    )
    assert ", 1 of 5 cut to --max_seq_length, 1 of an empty text, 0 % unknown; of dev: " in tokens
    assert [record.message.strip() for record in caplog.records] == facts["lines"]
    counts = {"rows": 5, "duplicates": 1, "conflicts": 1, "empty": 1, "cut": 1, "unknown_share": 0}
    assert facts["train"] == counts
    assert facts["dev_in_train"] == facts["dev"]["in_train"] == 2
    caplog.clear()
    log_data_check(TASKS["sst-2"], tokenizer, {"dev": [dev]})
    assert [record.message.split()[0] for record in caplog.records] == ["classes", "tokens"]


@pytest.mark.parametrize(
    ("name", "repeated", "tokens", "conflicts", "in_train"),
    [("sst-2", 371, 376, 5, 0), ("sts-b", 60, 60, 16, 7)],
)
def test_the_figures_of_real_data(real_data, tmp_path, name, repeated, tokens, conflicts, in_train):
    task = TASKS[name]
    symmetric = either_order(task)
    splits = {}
    for split in ("train", "dev"):
        examples = read_examples(task, real_data / task.folder / f"{split}.tsv", split)
        texts = [column for column in (examples.texts_a, examples.texts_b) if column]
        splits[split] = text_keys(texts, symmetric), np.array(examples.labels)
    found = Repeats.of(*splits["train"])
    assert (found.repeated.sum(), found.contradicts.sum()) == (repeated, conflicts)
    assert count(Repeats.of(*splits["dev"], splits["train"]))[2] == in_train
    # A run compares tokens, to which accents are nothing, and takes less than a second.
    tokenizer = load_tokenizer(real_data / "albert_base_v2" / "spiece.model")
    features = {}
    for split in splits:
        link = tmp_path / f"{split}.tsv"  # The cache goes beside it.
        link.symlink_to(real_data / task.folder / f"{split}.tsv")
        features[split] = [load_features(task, link, split, tokenizer, 128)]
    begun = time.perf_counter()
    facts = log_data_check(task, tokenizer, features)
    assert time.perf_counter() - begun < 1
    assert (facts["train"]["duplicates"], facts["train"]["conflicts"]) == (tokens, conflicts)
    assert facts["dev_in_train"] == in_train
