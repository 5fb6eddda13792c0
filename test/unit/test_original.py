"""The original's own modules beside this project's: ids, logits, gradients, training steps, optimizers.

ALBERT_PYTORCH_SOURCE names a checkout of lonePatient/albert_pytorch at 46de9ec. Nothing of it is in this
project: without it these tests are skipped, and the golden files that were made with it stand for it.
"""

import importlib
import inspect
import json
import os
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from helpers import DATA, RATE, losses_of, sentences, small_training, train, training_flags
from torch import nn

from callback.optimization import build_optimizer
from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from processors.batching import TrainingPlan
from processors.features import build_features
from processors.glue import TASKS
from processors.reading import Examples

SOURCE = os.environ.get("ALBERT_PYTORCH_SOURCE")
pytestmark = [
    pytest.mark.skipif(
        not SOURCE, reason="ALBERT_PYTORCH_SOURCE names no checkout of lonePatient/albert_pytorch"
    ),
    pytest.mark.filterwarnings("ignore"),
]
# Their packages have the names of this project's.
_ROOMS = ("model", "callback", "processors", "tools")
# They import these to download files.
_UNUSED = ("boto3", "botocore", "botocore.config", "botocore.exceptions", "requests")


def _original(name):
    """Import a module of the checkout, and give this project's modules their names back."""

    def is_theirs_or_ours(module):
        return module.partition(".")[0] in (*_ROOMS, *_UNUSED)

    own = {
        module: sys.modules.pop(module) for module in list(sys.modules) if is_theirs_or_ours(module)
    }
    for unused in _UNUSED:
        sys.modules[unused] = types.ModuleType(unused)
    sys.modules["botocore.config"].Config = sys.modules["botocore.exceptions"].ClientError = (
        Exception
    )
    sys.path.insert(0, SOURCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        sys.path.remove(SOURCE)
        for module in list(sys.modules):
            if is_theirs_or_ours(module):
                del sys.modules[module]
        sys.modules.update(own)


def _twin(model, folder):
    """Return the original's model with the weights of this one, as saved in its layout."""
    save_model(model, folder, "albert_pytorch")
    modeling = _original("model.modeling_albert")
    config = modeling.AlbertConfig.from_pretrained(str(folder), num_labels=model.config.num_labels)
    twin = modeling.AlbertForSequenceClassification(config)
    twin.load_state_dict(torch.load(folder / "pytorch_model.bin"))
    return twin.eval()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("longest", [8, 24])
def test_ids_are_those_of_the_original(vocabulary, tokenizer, pairs, longest):
    theirs = _original("model.tokenization_albert").FullTokenizer(None, True, str(vocabulary))
    glue = _original("processors.glue")
    odd = [item["text"] for item in json.loads((DATA / "tokenization.json").read_text())]
    texts = [text for text in odd + [text for text, _ in sentences(100)] if text.strip()]
    others = texts[7:] + texts[:7]
    examples = [
        glue.InputExample(guid="0", text_a=a, text_b=b if pairs else None, label="0")
        for a, b in zip(texts, others, strict=True)
    ]
    made = glue.glue_convert_examples_to_features(
        examples, theirs, max_seq_length=longest, label_list=["0"], output_mode="classification"
    )
    features = build_features(Examples(texts, others if pairs else None), tokenizer, longest, False)
    rows = zip(made, np.split(features.input_ids, features.offsets[1:-1]), strict=True)
    for (row, ids), first in zip(rows, features.first_lengths, strict=True):
        assert ids.tolist() == row.input_ids[: row.input_len]
        assert row.token_type_ids[: row.input_len] == [0] * first + [1] * (len(ids) - first)


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
@pytest.mark.parametrize("groups", [1, 2])
def test_logits_and_gradients_are_those_of_the_original(tmp_path, task, groups):
    config = AlbertConfig(
        vocab_size=60, embedding_size=16, hidden_size=32, num_hidden_layers=4, num_hidden_groups=groups,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=32, initializer_range=0.2,
        classifier_input_shift=0.1,
    )  # fmt: skip
    config.set_task(TASKS[task].labels)
    torch.manual_seed(0)
    model = build_model(config).eval()
    twin = _twin(model, tmp_path)
    ids = torch.randint(1, 60, (6, 12))
    types_of = (torch.arange(12) >= torch.tensor([[5], [12], [3], [7], [12], [6]])).long()
    mask = (torch.arange(12) < torch.tensor([[12], [12], [7], [9], [12], [8]])).long()
    labels = torch.rand(6) if TASKS[task].is_regression else torch.tensor([0, 1, 1, 0, 1, 0])
    loss, logits = twin(ids, mask, types_of, labels=labels)[:2]
    output = model(ids, mask, types_of, labels)
    torch.testing.assert_close(output.logits, logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(output.loss, loss, atol=1e-6, rtol=1e-5)
    loss.backward()
    output.loss.backward()
    words = [
        model.albert.embeddings.word_embeddings.weight,
        twin.bert.embeddings.word_embeddings.weight,
    ]
    for one, other in (words, (model.classifier.weight, twin.classifier.weight)):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4)


def test_thirty_steps_are_those_of_the_original(tmp_path, tokenizer):
    model, features = small_training(TASKS["sst-2"], tokenizer)
    twin, steps = _twin(model, tmp_path / "twin"), 30
    lamb = _original("callback.optimization.lamb").Lamb
    schedules = _original("callback.lr_scheduler")
    optimizer = lamb(twin.parameters(), lr=RATE, eps=1e-6)
    schedule = schedules.get_linear_schedule_with_warmup(optimizer, 3, steps)
    flags = training_flags(tmp_path, TASKS["sst-2"], "--max_steps", steps, "--padding=longest")
    train(flags, model, tokenizer, features, tmp_path / "metrics.jsonl")

    plan = TrainingPlan(
        features.lengths,
        batch_size=8,
        max_steps=steps,
        seed=42,
        max_seq_length=64,
        padding="longest",
    )
    losses = []
    for batches in [step for epoch in range(3) for step in plan.epoch(epoch)][:steps]:
        (batch,) = batches
        width = features.lengths[batch.rows].max()
        ids, mask = (torch.zeros(len(batch.rows), width, dtype=torch.long) for _ in range(2))
        for i, row in enumerate(batch.rows):
            tokens = features.input_ids[features.offsets[row] : features.offsets[row + 1]]
            ids[i, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
            mask[i, : len(tokens)] = 1
        loss = twin(ids, mask, labels=torch.from_numpy(features.labels[batch.rows]))[0]
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        twin.zero_grad()
        losses.append(loss.item())
    assert losses_of(tmp_path / "metrics.jsonl") == pytest.approx(losses, abs=1e-5)


# By --optimizer: the original's module and class, and the weight decays with which the steps are the same.
_CLASSES = {
    "lamb": ("lamb", "Lamb", (0.0, 0.01)),
    "nadam": ("nadam", "Nadam", (0.0, 0.01)),
    "lookahead": ("lookahead", "Lookahead", (0.0, 0.01)),
    "adabound": ("adabound", "AdaBound", (0.0, 0.01)),
    "radam": ("radam", "RAdam", (0.0,)),
    "plainradam": ("planradam", "PlainRAdam", (0.0,)),
    "ralamb": ("ralamb", "Ralamb", (0.0,)),
    "sgdw": ("sgdw", "SGDW", (0.0,)),
}


@pytest.mark.parametrize(
    ("name", "decay"), [(name, decay) for name in _CLASSES for decay in _CLASSES[name][2]]
)
def test_optimizers_take_the_steps_of_the_original(name, decay):
    if name in ("adabound", "lookahead", "ralamb", "sgdw"):
        pytest.importorskip("pytorch_optimizer")
    module, of_class, _ = _CLASSES[name]
    torch.manual_seed(0)
    model, twin = nn.Linear(32, 16), nn.Linear(32, 16)
    twin.load_state_dict(model.state_dict())
    optimizer = build_optimizer(name, model, 1e-3, 1e-6, decay)
    groups = [
        {"params": [twin.weight], "weight_decay": decay},
        {"params": [twin.bias], "weight_decay": 0.0},
    ]
    make = getattr(_original(f"callback.optimization.{module}"), of_class)
    if name == "lookahead":
        inner = _original("callback.optimization.lamb").Lamb(groups, lr=1e-3, eps=1e-6)
        other = make(inner)
    else:
        epsilon = {"eps": 1e-6} if "eps" in inspect.signature(make).parameters else {}
        other = make(groups, lr=1e-3, **epsilon)
    for _ in range(10):
        for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape) * 0.01
            theirs.grad = mine.grad.clone()
        before = model.weight.detach().clone()
        optimizer.step()
        other.step()
        size = (model.weight - before).norm().item()
        assert (model.weight - twin.weight).norm().item() < 2e-3 * size
        torch.testing.assert_close(model.bias, twin.bias, atol=1e-6, rtol=1e-4)
