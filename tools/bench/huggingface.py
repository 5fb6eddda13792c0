"""transformers' ALBERT in a plain training loop, as a contender.

It has the start weights, the optimizer and the precision of this project; its batches are made by
transformers' own sampler and collator. What this project sets for its memory on a CPU it does not have:
its users would not either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import data

from callback.optimization import build_optimizer
from model.checkpoint import build_model
from processors.batching import BatchPlan
from processors.features import Features
from processors.loading import Batch
from tools.bench.contenders import Contender
from tools.bench.flags import LEARNING_RATE, SEED, Setting
from tools.machine.seeds import seed_everything


class _Examples(data.Dataset):
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
    """transformers' ``AlbertForSequenceClassification``; attributes and methods are those of ``Ours``."""

    compilation = None

    def __init__(self, contender: Contender, setting: Setting, features: Features) -> None:
        from tokenizers import Tokenizer, models
        from transformers import AlbertConfig, DataCollatorWithPadding, PreTrainedTokenizerFast
        from transformers.models.albert.modeling_albert import AlbertForSequenceClassification

        self._device, self._in_bf16 = setting.device.torch_device, contender.precision == "bf16"
        seed_everything(SEED)
        ours = build_model(setting.config)
        values = ours.config.to_dict()
        values.pop("classifier_input_shift")
        config = AlbertConfig(**values, attn_implementation=contender.attention)
        self.model = AlbertForSequenceClassification(config)
        self.model.load_state_dict(ours.state_dict())
        self.model.to(self._device).train(contender.trains)
        optimizer = setting.flags.optimizer
        self._optimizer = build_optimizer(optimizer, self.model, LEARNING_RATE, 1e-6, 0.0)
        # A batch has this width where it does not follow from its examples.
        fixed = contender.width
        if contender.batching == "max_length":
            fixed = setting.flags.max_seq_length
        # The examples are token ids already: of a tokenizer the collator only needs the id that pads.
        pieces = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="<pad>")
        self._collate = DataCollatorWithPadding(
            tokenizer, padding="max_length" if fixed else "longest", max_length=fixed or None
        )
        self._examples, lengths = _Examples(features), features.lengths
        sampler = self._sampler(contender, setting.flags.batch_size, lengths)
        batches = data.BatchSampler(sampler, setting.flags.batch_size, drop_last=contender.trains)
        self.epoch = [
            BatchPlan(np.array(rows), fixed or int(lengths[rows].max())) for rows in batches
        ]

    def _sampler(self, contender: Contender, batch_size: int, lengths: np.ndarray) -> data.Sampler:
        rng = torch.Generator().manual_seed(SEED)
        if contender.batching == "grouped":
            from transformers.trainer_pt_utils import LengthGroupedSampler

            return LengthGroupedSampler(batch_size, lengths=lengths.tolist(), generator=rng)
        if contender.trains:
            return data.RandomSampler(self._examples, generator=rng)
        return data.SequentialSampler(self._examples)

    def steps(self, plans: Sequence[BatchPlan]) -> Iterator[Batch]:
        """Yield the padded batches on the device."""
        rows = [plan.rows.tolist() for plan in plans]
        for batch in data.DataLoader(self._examples, batch_sampler=rows, collate_fn=self._collate):
            yield {name: value.to(self._device, non_blocking=True) for name, value in batch.items()}

    def forward_backward(self, batch: Batch) -> Tensor:
        """Add up the gradients of a batch; return its loss, on the device."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._in_bf16):
            loss = self.model(**batch).loss
        loss.backward()
        return loss.detach()

    def update(self) -> None:
        """Clip the gradients, update the weights and drop the gradients."""
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def logits(self, plans: Sequence[BatchPlan]) -> Iterator[Tensor]:
        """Yield the outputs for each batch."""
        for batch in self.steps(plans):
            batch.pop("labels")
            yield self.model(**batch).logits
