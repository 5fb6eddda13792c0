"""Who follows CONTRIBUTING.md gets what it says."""

import re

import torch
from helpers import ROOT, rows_of
from torch import nn

from callback.optimization import factory
from processors.glue import TASKS, Task
from processors.metrics import METRICS
from processors.reading import read_examples
from tools.run import flags

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def block(words):
    """Return the block of Python that has these words."""
    [found] = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.S) if words in text]
    return found


def test_every_file_that_is_named_is_there():
    named = set(re.findall(r"[`(\s]((?:[\w-]+/)*[\w-]+\.(?:py|sh|md))\b", PAGE)) - {
        "test_repository.py"
    }
    assert len(named) > 12
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_a_task_is_added_as_the_page_says(tmp_path, monkeypatch):
    task = eval(block("Task("), {"Task": Task})
    monkeypatch.setitem(TASKS, task.name, task)
    parsed = flags.parse_flags(["--task_name", "paws", "--do_train"])
    assert str(parsed.inputs.data_dir) == "dataset/PAWS"
    assert set(task.metrics) <= set(METRICS)
    file = tmp_path / "train.tsv"
    file.write_text("id\tsentence1\tsentence2\tlabel\n7\ta\tb\t1\n8\tc\td\t0\n")
    assert rows_of(read_examples(parsed.task, file, "train")) == [("a", "b", 1), ("c", "d", 0)]


def test_an_optimizer_is_added_as_the_page_says(monkeypatch):
    for name, source in eval(block("_Source("), {"_Source": factory._Source}).items():
        monkeypatch.setitem(factory._SOURCES, name, source)
        monkeypatch.setattr(factory, "OPTIMIZERS", (*factory.OPTIMIZERS, name))
        model = nn.Linear(3, 2)
        before = model.weight.detach().clone()
        optimizer = factory.build_optimizer(name, model, 0.01, 1e-6, 0.0)
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert not torch.equal(before, model.weight)
