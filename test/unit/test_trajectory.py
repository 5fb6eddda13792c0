"""200 steps of the recipe against an independent loop.

The peer is Hugging Face's ALBERT under torch's autograd, with LAMB written out in float64 as the golden
trajectory has it, the schedule as a formula, and batches gathered one by one.
"""

import json
import math

import numpy as np
import pytest
import torch
from conftest import sentences
from torch import nn

import run_classifier
from callback.history import History
from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from processors.batching import TrainingPlan
from processors.features import build_features
from processors.glue import TASKS
from processors.reading import Example
from tools.arguments import parse_arguments
from tools.device import Device
from tools.distributed import Processes
from tools.full_precision import FullPrecision
from tools.runtime import Runtime

transformers = pytest.importorskip("transformers")
STEPS, RATE, CLIP = 200, 28e-5, 1.0


def examples_of(task):
    texts = sentences(100, seed=3)
    if task.is_regression:
        pairs = zip(texts, sentences(100, seed=4), strict=True)
        return [Example(a, b, 5.0 * (la == lb)) for (a, la), (b, lb) in pairs]
    return [Example(text, None, int(label)) for text, label in texts]


def make(task, tokenizer):
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=16, hidden_size=32, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
        classifier_dropout_prob=0.0, initializer_range=0.1,
    )  # fmt: skip
    config.set_task(task.labels)
    torch.manual_seed(1)
    return build_model(config), build_features(examples_of(task), tokenizer, 64, task.is_regression)


def arguments(tmp_path, task, accumulation):
    flags = f"--task_name {task.name} --do_train --batch_size 8 --max_steps {STEPS} --device cpu"
    flags += f" --learning_rate {RATE} --gradient_accumulation_steps {accumulation} --save_steps 0"
    return parse_arguments([*flags.split(), "--output_dir", str(tmp_path)])


def losses_of(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["loss"] for row in rows if row["event"] == "step"]


class Peer:
    """Hugging Face's ALBERT and a LAMB of its own."""

    def __init__(self, model):
        values = {k: v for k, v in model.config.to_dict().items() if k != "classifier_input_shift"}
        self.model = transformers.AlbertForSequenceClassification(
            transformers.AlbertConfig(**values)
        )
        self.model.load_state_dict(model.state_dict())
        # What the reference adds to the pooled vector, outside the peer's own code.
        self.model.classifier.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 0.1,))
        self.m = [np.zeros(tuple(p.shape)) for p in self.model.parameters()]
        self.v = [np.zeros(tuple(p.shape)) for p in self.model.parameters()]

    def backward(self, features, batches, regression):
        """Add the gradients of the mean loss over all examples of ``batches``; return that loss."""
        count = sum(map(len, batches))
        return sum(self._add(features, rows, regression, len(rows) / count) for rows in batches)

    def _add(self, features, rows, regression, share):
        width = int(features.lengths[rows].max())
        ids, mask, types = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(3))
        for i, row in enumerate(rows):
            tokens = features.input_ids[features.offsets[row] : features.offsets[row + 1]]
            ids[i, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
            mask[i, : len(tokens)] = 1
            types[i, int(features.first_lengths[row]) : len(tokens)] = 1
        logits = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
        labels = torch.from_numpy(features.labels[rows])
        loss = nn.functional.mse_loss(logits[:, 0], labels) if regression else (
            nn.functional.cross_entropy(logits, labels))  # fmt: skip
        (loss * share).backward()
        return loss.item() * share

    def step(self, rate):
        parameters = list(self.model.parameters())
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in parameters))
        scale = min(1.0, CLIP / (norm + 1e-6))
        with torch.no_grad():
            for i, p in enumerate(parameters):
                gradient = p.grad.double().numpy() * scale
                self.m[i] = 0.9 * self.m[i] + 0.1 * gradient
                self.v[i] = 0.999 * self.v[i] + 0.001 * gradient**2
                update = self.m[i] / (np.sqrt(self.v[i]) + 1e-6)
                weight = p.double().numpy()
                size, change = np.linalg.norm(weight), np.linalg.norm(update)
                trust = min(size, 10.0) / change if size and change else 1.0
                p.copy_(torch.from_numpy(weight - rate * trust * update))
                p.grad = None


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_losses_agree_at_every_step(tmp_path, tokenizer, task, accumulation):
    task = TASKS[task]
    model, features = make(task, tokenizer)
    peer = Peer(model)
    args = arguments(tmp_path, task, accumulation)
    history = History(tmp_path / "metrics.jsonl")
    runtime = Runtime(Device("cpu"), Processes())
    run_classifier.train(args, runtime, model, tokenizer, {"train": [features]}, history, None)
    ours = losses_of(tmp_path / "metrics.jsonl")

    plan = TrainingPlan(
        features.lengths,
        batch_size=8,
        accumulation=accumulation,
        max_steps=STEPS,
        seed=42,
        max_length=128,
    )
    theirs = []
    per_epoch = math.ceil(100 / (8 * accumulation))
    for step in range(STEPS):
        rows = [batch.rows for batch in plan.epoch(step // per_epoch)[step % per_epoch]]
        assert len(rows) == (accumulation if (step + 1) % per_epoch else 1)  # 13 batches
        theirs.append(peer.backward(features, rows, task.is_regression))
        rate = RATE * (step / 20 if step < 20 else (STEPS - step) / (STEPS - 20))
        peer.step(rate)
    assert len(ours) == STEPS
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert np.mean(ours[-20:]) < np.mean(ours[:20])


def test_a_last_partial_accumulation_is_a_step_of_its_own_size(tmp_path, tokenizer):
    task = TASKS["sst-2"]
    model, features = make(task, tokenizer)
    peer = Peer(model)
    args = arguments(tmp_path, task, 5)
    args.max_steps, args.num_train_epochs = -1, 1.0
    history = History(tmp_path / "metrics.jsonl")
    runtime = Runtime(Device("cpu"), Processes())
    run_classifier.train(args, runtime, model, tokenizer, {"train": [features]}, history, None)
    plan = TrainingPlan(features.lengths, batch_size=8, accumulation=5, seed=42, max_length=128)
    theirs, total = [], 3
    for step, batches in enumerate(plan.epoch(0)):
        theirs.append(peer.backward(features, [batch.rows for batch in batches], False))
        peer.step(RATE * (total - step) / total)
    assert [len(batches) for batches in plan.epoch(0)] == [5, 5, 3]
    assert losses_of(tmp_path / "metrics.jsonl") == pytest.approx(theirs, abs=1e-4)
    weights = peer.model.state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, weights[name], atol=1e-5, rtol=0)


def test_the_schedule_waits_for_skipped_steps(tmp_path, tokenizer, monkeypatch, caplog):
    class EverySecond(FullPrecision):
        """Skips every second step, as a loss scaler does after an overflow."""

        calls = 0

        def step(self, max_norm=0.0):
            EverySecond.calls += 1
            if EverySecond.calls % 2 == 0:
                self.optimizer.zero_grad()
                return False
            return super().step(max_norm)

    monkeypatch.setattr(run_classifier, "build_precision", lambda _, m, o, *rest: EverySecond(m, o))
    caplog.set_level("INFO")
    model, features = make(TASKS["sst-2"], tokenizer)
    args = arguments(tmp_path, TASKS["sst-2"], 1)
    args.logging_steps, args.max_steps = 1, 6
    runtime = Runtime(Device("cpu"), Processes())
    run_classifier.train(
        args, runtime, model, tokenizer, {"train": [features]}, History(None), None
    )
    rates = [line.split("lr: ")[1].split()[0] for line in caplog.messages if "lr: " in line]
    expected = [RATE * (6 - done) / 6 for done in (0, 1, 1, 2, 2, 3)]
    assert rates == [f"{rate:.2e}" for rate in expected]
