"""A small training whose model is scored with graphs and without."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import torch
from graphed import FAULTS as FAULTS_OF_TRAINING
from graphed import Training
from tape import TapeDevice

from processors.batching import plan_evaluation
from processors.loading import BatchBuilder
from tools.precision.scoring import ScoringPrecision
from tools.run import inference as inference_module
from tools.run.inference import Inference
from tools.run.scoring import compute_logits

BATCH, WIDTH = 2, 64


class Scored:
    """A small training whose model is scored with graphs and, to compare, without."""

    def __init__(self, tokenizer, precision="fp32", task="sst-2", device=None, **flags):
        self.device = device or TapeDevice("cpu")
        self.training = Training(tokenizer, "off", task, device=self.device, **flags)
        self.model, self.features = self.training.state.fp32_model(), self.training.features
        self.precision = ScoringPrecision(self.device, "--bf16" if precision == "bf16" else None)
        self.inference = Inference(self.device)
        self.inference.take_graphs("auto")

    def logits(self, inference=None):
        own = {"precision": self.precision, "inference": inference}
        return compute_logits(self.model, self.features, self.device, BATCH, WIDTH, **own)

    def is_the_same(self):
        """Score with graphs and without; return whether that is the same, to the bit."""
        return np.array_equal(self.logits(self.inference), self.logits())

    @property
    def graphs(self):
        return self.inference.of(self.model).graphs

    def counts(self):
        """Return how many batches there are of each shape."""
        shape = BatchBuilder(self.features, torch.device("cpu")).shape
        shapes = [shape(plan) for plan in plan_evaluation(self.features.lengths, BATCH, WIDTH)]
        return [shapes.count(each) for each in set(shapes)]


def _kept_casts(scored, patch):
    """A graph reads a weight that autocast cast before it was recorded."""
    patch.setattr(inference_module, "own_casts", nullcontext)


def _stale_batch(scored, patch):
    forward = scored.inference.of(scored.model)
    FAULTS_OF_TRAINING["a stale batch"](SimpleNamespace(state=forward), patch)


FAULTS = {"kept casts": _kept_casts, "a stale batch": _stale_batch}
