"""What a model says of the dev set is kept with the texts, as far as those are still the ones scored."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from helpers import write_sst2

from processors.custom import custom_task
from processors.features import load_features
from processors.glue import TASKS
from processors.splitting import select
from tools.run.dev_predictions import DevPredictions
from tools.run.start import Start


def test_another_file_than_was_scored_gives_no_predictions(tokenizer, tmp_path, caplog):
    data, task = write_sst2(tmp_path / "data"), TASKS["sst-2"]
    features = load_features(task, data / "dev.tsv", "dev", tokenizer, 32)
    dev = DevPredictions(tmp_path, data, Start(task, tokenizer, {"dev": [features]}, None))
    logits = np.zeros((len(features), 2), np.float32)
    written = tmp_path / "predictions" / "dev.jsonl"
    with caplog.at_level(logging.WARNING):
        for change in (lambda text: text + "one more\t1\n", lambda text: "", None):
            path = data / "dev.tsv"
            path.unlink() if change is None else path.write_text(change(path.read_text()))
            dev.write(0, logits)
    assert not written.exists()
    first, second, third = caplog.messages
    assert first == f"{written} is not written: {path} has other rows by now"
    assert second.startswith(f"{written} is not written, which would have the texts: {path}")
    assert third.startswith(f"{written} is not written, which would have the texts: ")


@pytest.mark.parametrize("dev_rows", [None, (1, 5, 6)])
def test_each_has_the_line_that_it_begins_on(tokenizer, tmp_path, dev_rows):
    """One begins on line 4, after a cell of two lines; a share of the training file has lines of that."""
    split = "dev" if dev_rows is None else "train"
    file = tmp_path / f"{split}.csv"
    rows = ["one,a", '"two\nlines",b', *(f"text {n},a" for n in range(3, 9))]
    file.write_text("\n".join(["text,label", *rows, ""]))
    task = custom_task(
        {"train": None, "dev": None, "test": None, split: file}, ("text",), "label", False
    )
    task = replace(task, labels=("a", "b"))
    features = load_features(task, file, split, tokenizer, 32)
    if dev_rows:
        features = select(features, np.array(dev_rows))
    start = Start(task, tokenizer, {"dev": [features]}, None, dev_rows=dev_rows)
    DevPredictions(tmp_path, tmp_path, start).write(0, np.zeros((len(features), 2), np.float32))
    written = (tmp_path / "predictions" / "dev.jsonl").read_text().splitlines()
    lines = file.read_text().splitlines()
    found = [(record["text"], lines[record["id"] - 1]) for record in map(json.loads, written)]
    assert len(found) == len(features)
    for text, line in found:
        assert line.strip('"').startswith(text.splitlines()[0])
        assert text != "text 3" or line == lines[4]


def test_a_test_file_called_dev_does_not_take_their_name():
    def names_of(test_file):
        return custom_task({"test": test_file}, ("text",), "label", False).submission_names

    assert names_of("tables/dev.csv.gz") == ("test_dev",)
    assert names_of("development.csv") == ("development",)
