"""This project as a contender: what run_classifier.py calls for a step and for an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from model.checkpoint import build_model
from processors.batching import BatchPlan, plan_evaluation
from processors.features import Features
from processors.loading import TrainingStep, load_steps
from tools.bench.contenders import Contender
from tools.bench.flags import LEARNING_RATE, SEED, Setting
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.machine.seeds import seed_everything
from tools.precision.scoring import ScoringPrecision
from tools.run.flags import TrainingFlags
from tools.run.inference import Inference, prepare_to_score
from tools.run.scoring import batch_logits
from tools.run.training import build_plan, build_state


class Ours:
    """A run's training state or, to evaluate, its model.

    Attributes:
        model: the network.
        epoch: the batches of an epoch, all of them full, or of the dev set.
        compilation: what compiles the network, if anything does.
        forward_backward, update: the parts of a run's step.
    """

    def __init__(self, contender: Contender, setting: Setting, features: Features) -> None:
        self._features, self._device = features, setting.device
        self._device.keep_memory()
        seed_everything(SEED)
        self.model = self._device.place(build_model(setting.config)).eval()
        self.compilation = None
        lengths, longest = features.lengths, setting.flags.max_seq_length
        if not contender.trains:
            size, padding = setting.flags.batch_size, contender.batching
            tokens = self._device.evaluation_tokens
            self.epoch = plan_evaluation(lengths, size, longest, padding, tokens=tokens)
            in_bf16 = "--precision bf16" if contender.precision == "bf16" else None
            self._precision = ScoringPrecision(self._device, in_bf16)
            self._inference, dtype = Inference(self._device), self._precision.dtype
            prepare_to_score(
                self.model, self._device, dtype, self._inference, "auto", "auto", alone=True
            )
            return
        flags = TrainingFlags(
            bf16=contender.precision == "bf16",
            batch_size=setting.flags.batch_size,
            padding=contender.batching or "bucket",
            drop_last=True,
            optimizer=setting.flags.optimizer,
            lr_schedule="constant",  # A plain loop has no schedule either.
            warmup_proportion=0.0,
            learning_rate=LEARNING_RATE,
            seed=SEED,
            torch_compile=contender.compiled,
            fused_kernels="auto",
            cuda_graphs="auto",
        ).with_defaults()
        runtime = Runtime(self._device, Processes())
        plan = build_plan(flags, lengths, longest, runtime.processes)
        self.epoch = [batch for step in plan.epoch(0) for batch in step]
        state = build_state(flags, runtime, self.model, plan.total_steps, facts={})
        self.compilation = state.compilation
        self.forward_backward, self.update = state.forward_backward, state.update

    def steps(self, plans: Sequence[BatchPlan]) -> Iterator[TrainingStep]:
        """Yield a step for each batch."""
        return load_steps([[plan] for plan in plans], self._features, self._device.torch_device)

    def logits(self, plans: Sequence[BatchPlan]) -> Iterator[Tensor]:
        """Yield the outputs for each batch, as an evaluation has them."""
        forward = self._inference.of(self.model)
        plans = list(plans)
        forward.begin(plans, self._features.lengths)
        with self._precision.context():
            yield from batch_logits(forward, self._features, plans, self._device)
