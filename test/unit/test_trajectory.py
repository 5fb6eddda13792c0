"""200 steps of the recipe against an independent loop.

The peer is Hugging Face's ALBERT under torch's autograd, with LAMB written out in float64 as the golden
trajectory has it, the schedule as a formula, and batches gathered one by one.
"""

import math

import numpy as np
import pytest
import torch
from helpers import RATE, STEPS, losses_of, small_training, train, training_flags
from torch import nn

from processors.batching import TrainingPlan
from processors.glue import TASKS
from tools.precision.base import Fp32
from tools.run import training

transformers = pytest.importorskip("transformers")
CLIP = 1.0


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


@pytest.mark.parametrize(("task", "accumulation"), [("sst-2", 2), ("sts-b", 1)])
def test_losses_agree_at_every_step(tmp_path, tokenizer, task, accumulation):
    task = TASKS[task]
    model, features = small_training(task, tokenizer)
    peer = Peer(model)
    flags = training_flags(tmp_path, task, "--gradient_accumulation_steps", accumulation)
    train(flags, model, tokenizer, features, tmp_path / "metrics.jsonl")
    ours = losses_of(tmp_path / "metrics.jsonl")

    plan = TrainingPlan(
        features.lengths,
        batch_size=8,
        gradient_accumulation_steps=accumulation,
        max_steps=STEPS,
        seed=42,
        max_seq_length=128,
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
    model, features = small_training(task, tokenizer)
    peer = Peer(model)
    one_epoch = ("--max_steps=-1", "--num_train_epochs=1", "--gradient_accumulation_steps=5")
    flags = training_flags(tmp_path, task, *one_epoch)
    train(flags, model, tokenizer, features, tmp_path / "metrics.jsonl")
    plan = TrainingPlan(
        features.lengths, batch_size=8, gradient_accumulation_steps=5, seed=42, max_seq_length=128
    )
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
    class EverySecond(Fp32):
        """Skips every second step, as a loss scaler does after an overflow."""

        calls = 0

        def step(self, max_norm=0.0):
            EverySecond.calls += 1
            if EverySecond.calls % 2 == 0:
                self.optimizer.zero_grad()
                return False
            return super().step(max_norm)

    monkeypatch.setattr(training, "build_precision", lambda _, m, o, *rest: EverySecond(m, o))
    caplog.set_level("INFO")
    model, features = small_training(TASKS["sst-2"], tokenizer)
    flags = training_flags(tmp_path, TASKS["sst-2"], "--logging_steps=1", "--max_steps=6")
    train(flags, model, tokenizer, features)
    rates = [line.split("lr: ")[1].split()[0] for line in caplog.messages if "lr: " in line]
    expected = [RATE * (6 - done) / 6 for done in (0, 1, 1, 2, 2, 3)]
    assert rates == [f"{rate:.2e}" for rate in expected]
