"""This project as a contender: its plan, its batches, its precision, its optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from callback.optimization import build_optimizer
from model.checkpoint import build_model
from processors.batching import BatchPlan, TrainingPlan, plan_evaluation
from processors.features import Features
from processors.loading import Batch, load_batches
from tools.bench.spec import Contender, Setting
from tools.machine.compilation import Compilation
from tools.machine.seeds import seed_everything, seed_step
from tools.precision.base import Bf16Autocast, Fp32, Precision


class Ours:
    """What run_classifier.py does with a batch, piece by piece."""

    def __init__(self, contender: Contender, setting: Setting, features: Features) -> None:
        self._contender, self._setting, self._features = contender, setting, features
        self._device = setting.device
        self._device.activate()
        self._device.keep_memory()
        seed_everything(setting.seed)
        model = build_model(setting.config).to(self._device.torch_device)
        optimizer = build_optimizer(setting.optimizer, model, setting.learning_rate, 1e-6, 0.0)
        if setting.precision_of(contender) == "bf16":
            self._precision: Precision = Bf16Autocast(model, optimizer, self._device)
        else:
            self._precision = Fp32(model, optimizer)
        self.compilation = Compilation(self._device) if contender.compiled else None
        self._network = self.compilation.compile(model) if self.compilation else model
        self._network.train(contender.trains)
        self._step = 0

    def epoch(self) -> list[BatchPlan]:
        """Return the batches of an epoch, or of the dev set."""
        contender, setting, lengths = self._contender, self._setting, self._features.lengths
        if contender.batching == "static":
            rows = np.arange(len(lengths)).reshape(-1, setting.batch_size)
            return [BatchPlan(batch, contender.width) for batch in rows]
        if not contender.trains:
            return plan_evaluation(
                lengths, setting.batch_size, setting.max_seq_length, contender.batching
            )
        plan = TrainingPlan(
            lengths,
            batch_size=setting.batch_size,
            seed=setting.seed,
            max_seq_length=setting.max_seq_length,
            padding=contender.batching,
            drop_last=True,  # all contenders' batches are full
        )
        return [batch for step in plan.epoch(0) for batch in step]

    def batches(self, plans: Sequence[BatchPlan]) -> Iterator[Batch]:
        """Return the padded batches on the device: all that the benchmark knows of their making."""
        return load_batches(self._features, list(plans), self._device.torch_device)

    def gradients(self, batch: Batch) -> Tensor:
        """Run forward and backward; returns the loss, on the device."""
        seed_step(self._setting.seed, self._step, 0)
        self._step += 1
        with self._precision.forward():
            loss = self._network(**batch).loss
        self._precision.backward(loss)
        return loss.detach()

    def update(self) -> None:
        """Clip the gradients, update the weights and drop the gradients."""
        self._precision.step(1.0)

    def logits(self, batch: Batch) -> Tensor:
        """Return the model's outputs in fp32, as evaluation has them."""
        return self._network(**{k: v for k, v in batch.items() if k != "labels"}).logits
