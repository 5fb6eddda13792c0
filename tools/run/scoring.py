"""A model's outputs for every example of a set, and the metrics of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from callback.heartbeat import QUIET_SECONDS, still
from callback.history import History
from callback.progressbar import ProgressBar
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import BatchPlan, plan_evaluation
from processors.features import Features
from processors.glue import Task
from processors.loading import load_batches
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.precision.scoring import ScoringPrecision
from tools.run.data_facts import OutputRange, warn_if_all_alike
from tools.run.inference import Forward, Inference
from tools.run.scores import NOTHING, Scores, decisions

logger = logging.getLogger(__name__)

_COMPUTING = "computing the metrics and their intervals"


class CutShortError(Exception):
    """An evaluation ended before its end, in this process or another."""


def _never() -> bool:
    return False


class Scorer:
    """What evaluation and prediction share: how a run scores a set, whatever the model.

    Args:
        task: its metrics, and its classes in the order of the model's outputs.
        features: of the splits ``dev`` and ``test``, as far as they are scored, file by file.
        history: gets the metrics of each evaluation.
        precision: what the model computes in.
        batch_size: examples per process.
        tokens: if above 0, how many a batch has instead, as :func:`plan_evaluation` has it.
        padding: one of :data:`processors.batching.PADDING_POLICIES`.
        workers: processes that build batches.

    Attributes:
        inference: how the models run.
    """

    def __init__(
        self,
        runtime: Runtime,
        task: Task,
        features: Mapping[str, Sequence[Features]],
        history: History,
        precision: ScoringPrecision,
        batch_size: int,
        max_seq_length: int,
        padding: str,
        workers: int,
        tokens: int = 0,
    ) -> None:
        self._runtime, self._task = runtime, task
        self._features, self._history, self._precision = features, history, precision
        self._batch_size, self._max_seq_length = batch_size, max_seq_length
        self._padding, self._workers, self._tokens = padding, workers, tokens
        self.inference = Inference(runtime.device)

    def evaluate(
        self,
        model: AlbertForSequenceClassification,
        step: int | None = None,
        epoch: float | None = None,
        kept: str | None = None,
        is_stopped: Callable[[], bool] = _never,
        take: Callable[[int, np.ndarray], None] | None = None,
    ) -> dict[str, float]:
        """Score every example of the dev set, file by file; log, record and return the metrics.

        Args:
            step: after which the model is as it is, where that is known.
            epoch: how many passes over the training data those steps are.
            kept: the name of a model that a training left; None for one that is being trained, whose
                metrics get no interval that would take time.
            is_stopped: asked of each batch; once it says yes in a process, there is no evaluation and
                the result is empty, in all of them.
            take: gets the number of each file and its logits, [N, num_labels], once all are recorded.
        """
        dev = self._features["dev"]
        scores, outputs = NOTHING, []
        is_final = bool(kept) and self._runtime.is_main
        for suffix, examples in zip(self._task.suffixes, dev, strict=True):
            try:
                logits = self._logits(model, examples, is_stopped)
            except CutShortError:
                return {}
            outputs.append(logits)
            with still(_COMPUTING, is_final):
                scores |= Scores.of(
                    *(self._task, logits, examples.labels, suffix),
                    is_final=is_final,
                    with_thresholds=bool(kept),
                )
            # At first, while it trains, a model may well do so.
            if is_final:
                predictions = decisions(self._task, logits)
                warn_if_all_alike(f"dev{suffix}", predictions, self._task.labels, examples.labels)
        logger.info("***** Eval results *****")
        logger.info("  precision = %s", self._precision.name)
        scores.log(with_intervals=is_final)
        of = {"step": step, "model": kept, "precision": self._precision.name, "epoch": epoch}
        known = {key: value for key, value in of.items() if value is not None}
        self._history.write("eval", **known, examples=sum(map(len, dev)), **scores.record())
        with still("writing what the model says of each example", is_final):
            for number, logits in enumerate(outputs if take else ()):
                take(number, logits)
        return scores.metrics

    def predict(
        self, model: AlbertForSequenceClassification
    ) -> Iterator[tuple[str, np.ndarray, dict[str, float]]]:
        """Yield the name of each test file's submission, the logits of its N examples and their metrics.

        The logits are [N, num_labels], in the order of the file. The metrics, which are logged and
        recorded, are none where the file has no labels.
        """
        logger.info("***** Predictions: precision = %s *****", self._precision.name)
        tests = zip(self._task.submission_names, self._features["test"], strict=True)
        # A task has names for its dev files alone, as many as it has test files.
        for suffix, (name, examples) in zip(self._task.suffixes, tests, strict=False):
            logits = self._logits(model, examples)
            if self._runtime.is_main:
                outputs = OutputRange(self._task.is_multi_label)
                outputs.add(examples, logits)
                outputs.warn_if_alike(f"test{suffix}")
            metrics = {}
            if len(examples.labels):
                is_main = self._runtime.is_main
                with still(_COMPUTING, is_main):
                    scores = Scores.of(self._task, logits, examples.labels, is_final=is_main)
                metrics = scores.metrics
                logger.info("***** Test results of %s *****", name)
                scores.log(with_intervals=is_main)
                self._history.write("test", file=name, examples=len(examples), **scores.record())
            yield name, logits, metrics

    def _logits(
        self,
        model: AlbertForSequenceClassification,
        examples: Features,
        is_stopped: Callable[[], bool] = _never,
    ) -> np.ndarray:
        return compute_logits(
            model,
            examples,
            self._runtime.device,
            self._batch_size,
            self._max_seq_length,
            precision=self._precision,
            padding=self._padding,
            processes=self._runtime.processes,
            workers=self._workers,
            tokens=self._tokens,
            inference=self.inference,
            is_stopped=is_stopped,
        )


@torch.no_grad()  # In inference mode autocast would cast the weights for each batch.
def compute_logits(
    model: AlbertForSequenceClassification,
    features: Features,
    device: Device,
    batch_size: int,
    max_seq_length: int,
    *,
    precision: ScoringPrecision | None = None,
    padding: str = "bucket",
    processes: Processes | None = None,
    workers: int = 0,
    tokens: int = 0,
    inference: Inference | None = None,
    is_stopped: Callable[[], bool] = _never,
) -> np.ndarray:
    """Run the model over every example once: [N, num_labels] float32, in the order of ``features``.

    Examples of like length share a batch. With several processes each fills in its share of the rows,
    and the sum over the processes is the whole; without, no progress is shown. The model computes without
    dropout and is left in the mode that it came in.

    Args:
        precision: what the model computes in; without, fp32.
        padding: one of :data:`processors.batching.PADDING_POLICIES`.
        tokens: if above 0, how many a batch has, whatever ``batch_size`` is.
        inference: how the model runs; without, as it is.
        is_stopped: asked of each batch, whether to end here.

    Raises:
        CutShortError: it said yes in one of the processes; all of them raise this.
        ValueError: an output is no finite number.
    """
    alone = processes is None
    processes = processes or Processes()
    precision = precision or ScoringPrecision(device)
    trains = model.training
    model.eval()
    plans = plan_evaluation(
        features.lengths,
        batch_size,
        max_seq_length,
        padding,
        processes.rank,
        processes.world_size,
        tokens,
    )
    shown = processes.is_main and not alone
    progress = ProgressBar("Evaluating", len(plans), enabled=shown, quiet=QUIET_SECONDS)
    # The last row is no example's: it counts the processes that were stopped.
    logits = torch.zeros(len(features) + 1, model.config.num_labels, device=device.torch_device)
    forward = (inference or Inference(device)).of(model)
    forward.begin(plans, features.lengths)
    outputs = batch_logits(forward, features, plans, device, workers)
    with precision.context():
        for plan, of_batch in zip(plans, outputs, strict=True):
            if is_stopped():
                logits[-1] = 1
                break
            rows = torch.from_numpy(plan.rows).to(device.torch_device, non_blocking=True)
            logits[rows] = of_batch.float()
            progress.advance()
    progress.close()
    forward.end()
    model.train(trains)
    whole = processes.all_reduce(logits).cpu().numpy()
    result, stopped = whole[:-1], whole[-1]
    if stopped.any():
        raise CutShortError
    if not np.isfinite(result).all():
        raise ValueError("the model's outputs are no finite numbers: its training diverged")
    return result


def batch_logits(
    forward: Forward,
    features: Features,
    plans: list[BatchPlan],
    device: Device,
    workers: int = 0,
) -> Iterator[Tensor]:
    """Yield the model's outputs for each batch, on the device: [B, num_labels].

    ``forward`` has begun with the set that they are of.
    """
    for batch in load_batches(features, plans, device.torch_device, workers):
        batch.pop("labels", None)
        yield forward(batch)
