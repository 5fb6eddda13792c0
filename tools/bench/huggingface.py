"""transformers' ALBERT in a plain training loop, as a contender.

It has the start weights, the optimizer and the device's precision of this project, and loads its batches
the way examples for transformers do: dicts of lists, padded by a collate function. What this project sets
for its memory on a CPU it does not have: its users would not either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callback.optimization import build_optimizer
from model.checkpoint import build_model
from processors.batching import BatchPlan
from processors.features import Features
from processors.loading import Batch
from tools.bench.spec import Contender, Setting
from tools.machine.seeds import seed_everything

# LengthGroupedSampler sorts by length within so many batches.
MEGABATCH = 50


class _Examples:
    """The examples as a data set of transformers has them."""

    def __init__(self, features: Features) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, row: int) -> dict[str, Any]:
        features = self._features
        ids = features.input_ids[features.offsets[row] : features.offsets[row + 1]].tolist()
        first = int(features.first_lengths[row])
        types = [0] * first + [1] * (len(ids) - first)
        return {"input_ids": ids, "token_type_ids": types, "labels": features.labels[row].item()}


class HuggingFace:
    """transformers' ``AlbertForSequenceClassification``; the methods are those of ``Ours``."""

    compilation = None

    def __init__(self, contender: Contender, setting: Setting, features: Features) -> None:
        from transformers import AlbertConfig
        from transformers.models.albert.modeling_albert import AlbertForSequenceClassification

        self._contender, self._setting, self._features = contender, setting, features
        self._device = setting.device
        self._device.activate()
        seed_everything(setting.seed)
        own = build_model(setting.config)
        values = own.config.to_dict()
        values.pop("classifier_input_shift")
        config = AlbertConfig(**values, attn_implementation=contender.attention)
        self._model = AlbertForSequenceClassification(config)
        self._model.load_state_dict(own.state_dict())
        self._model.to(self._device.torch_device).train(contender.trains)
        self._optimizer = build_optimizer(
            setting.optimizer, self._model, setting.learning_rate, 1e-6, 0.0
        )
        # Of a batch whose width does not follow from its examples.
        self._width = contender.width
        if contender.batching == "max_length":
            self._width = setting.max_seq_length

    def epoch(self) -> list[BatchPlan]:
        """Return the batches of an epoch, without a last one that is not full, or of the dev set."""
        lengths, size = self._features.lengths, self._setting.batch_size
        rows = np.arange(len(lengths))
        if self._contender.group == "train":
            rows = np.random.default_rng(self._setting.seed).permutation(rows)
            rows = rows[: len(rows) // size * size]
        if self._contender.batching == "grouped":
            parts = np.split(rows, range(MEGABATCH * size, len(rows), MEGABATCH * size))
            rows = np.concatenate([part[np.argsort(-lengths[part])] for part in parts])
        batches = np.split(rows, range(size, len(rows), size))
        return [BatchPlan(batch, self._width or int(lengths[batch].max())) for batch in batches]

    def batches(self, plans: Sequence[BatchPlan]) -> Iterator[Batch]:
        """Yield the padded batches on the device."""
        loader = DataLoader(
            _Examples(self._features),
            batch_sampler=[plan.rows.tolist() for plan in plans],
            collate_fn=self._collate,
        )
        for batch in loader:
            yield {
                name: tensor.to(self._device.torch_device, non_blocking=True)
                for name, tensor in batch.items()
            }

    def _collate(self, examples: list[dict[str, Any]]) -> Batch:
        width = self._width or max(len(example["input_ids"]) for example in examples)

        def padded(name: str) -> Tensor:
            rows = (example[name] for example in examples)
            return torch.tensor([row + [0] * (width - len(row)) for row in rows])

        mask = [[1] * len(e["input_ids"]) + [0] * (width - len(e["input_ids"])) for e in examples]
        return {
            "input_ids": padded("input_ids"),
            "token_type_ids": padded("token_type_ids"),
            "attention_mask": torch.tensor(mask),
            "labels": torch.tensor([example["labels"] for example in examples]),
        }

    def gradients(self, batch: Batch) -> Tensor:
        """Run forward and backward; returns the loss, on the device."""
        with self._forward():
            loss = self._model(**batch).loss
        loss.backward()
        return loss.detach()

    def update(self) -> None:
        """Clip the gradients, update the weights and drop the gradients."""
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def logits(self, batch: Batch) -> Tensor:
        """Return the model's outputs in fp32, as ours are."""
        return self._model(**{k: v for k, v in batch.items() if k != "labels"}).logits

    def _forward(self) -> AbstractContextManager:
        if self._setting.precision == "bf16":
            return torch.autocast(self._device.torch_device.type, dtype=torch.bfloat16)
        return nullcontext()
