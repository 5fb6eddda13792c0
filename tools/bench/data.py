"""What is measured on: examples, and the few batches of them that stand for an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.file_names import CONFIG_NAME
from model.vocabulary import Sources, check_vocabulary, find_vocabulary, load_tokenizer
from processors.batching import BatchPlan
from processors.features import Features, load_features
from processors.glue import Task
from tools.bench.flags import SEED, SHORTEST, Setting
from tools.cli.errors import UsageError

# SST-2 has as many.
TRAIN_EXAMPLES, DEV_EXAMPLES = 67_349, 872
# With this parameter of a log-normal distribution the longest of 32 random sentences is as long as
# SST-2's, about three times the mean.
_SIGMA = 0.65
_FIRST_ID = 5  # The ids before stand for [PAD], <unk>, [CLS], [SEP] and [MASK].
# A turn is worth as many padded tokens as --sample batches of this width have, so that wide batches do not
# make a run as long as a training.
_USUAL_WIDTH = 20
_PASSES = 3


def draw_lengths(count: int, mean: float, longest: int, seed: int) -> np.ndarray:
    """Return [count] lengths as sentences have them: log-normal around ``mean``, 3 to ``longest``."""
    rng = np.random.default_rng([seed, count])
    drawn = rng.lognormal(np.log(mean) - _SIGMA**2 / 2, _SIGMA, count)
    return np.clip(np.rint(drawn), SHORTEST, longest).astype(np.int64)


def draw_static_lengths(count: int, width: int, seed: int) -> np.ndarray:
    """Return [count] lengths from half of ``width`` to all of it; both occur if there are two."""
    lengths = np.random.default_rng([seed, width]).integers(width // 2, width + 1, count)
    lengths[0], lengths[-1] = width // 2, width
    return lengths


def generate_features(lengths: np.ndarray, task: Task, vocab_size: int, seed: int) -> Features:
    """Return examples of these lengths with random ids and labels; pairs are halved."""
    rng = np.random.default_rng([seed, len(lengths), 1])
    total = int(lengths.sum())
    if task.is_regression:
        labels = rng.uniform(0, 5, len(lengths)).astype(np.float32)
    else:
        labels = rng.integers(0, len(task.labels), len(lengths))
    first = (lengths + 1) // 2 if task.has_pairs else lengths
    return Features(
        input_ids=rng.integers(min(_FIRST_ID, vocab_size - 1), vocab_size, total, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        first_lengths=first.astype(np.int32),
        labels=labels,
    )


def prepare_features(setting: Setting, task: Task) -> dict[str, Features]:
    """Return the examples of every group: read from --data_dir as a run reads them, or generated.

    Raises:
        FileNotFoundError, ValueError: a file is missing or broken.
        UsageError: the training examples do not fill a batch.
    """
    flags, config = setting.flags, setting.config

    def generate(lengths: np.ndarray) -> Features:
        return generate_features(lengths, task, config.vocab_size, SEED)

    if flags.data_dir:
        tokenizer = load_tokenizer(find_vocabulary(flags.config))
        check_vocabulary(config, tokenizer, Sources(flags.config / CONFIG_NAME))
        train, dev = (
            load_features(
                task, task.paths(flags.data_dir, split)[0], split, tokenizer, flags.max_seq_length
            )
            for split in ("train", "dev")
        )
    else:
        train, dev = (
            generate(draw_lengths(count, flags.mean_length, flags.max_seq_length, SEED))
            for count in (TRAIN_EXAMPLES, DEV_EXAMPLES)
        )
    if len(train) < flags.batch_size:
        raise UsageError(
            f"{len(train)} training examples do not fill one batch of {flags.batch_size}: lower "
            "--batch_size"
        )
    static = {
        contender.group: generate(draw_static_lengths(flags.batch_size, contender.width, SEED))
        for contender in flags.chosen
        if contender.width
    }
    return {"train": train, "eval": dev, **static}


def take_sample(plans: Sequence[BatchPlan], lengths: np.ndarray, most: int) -> list[BatchPlan]:
    """Return batches of an epoch with an example's mean width and mean tokens, ``most`` at most.

    Wide batches are fewer, but two at least where the widths differ. The batches, sorted by width and then
    by tokens, are cut into equal parts, one from each. The middle ones would leave out the few longest:
    part after part, the middle one gives way to that which brings the means nearest to the epoch's.

    Args:
        plans: of an epoch.
        lengths: [N] tokens of each example.
    """
    widths = np.array([plan.width for plan in plans])
    tokens = np.array([lengths[plan.rows].sum() for plan in plans])
    sizes = np.array([len(plan.rows) for plan in plans])
    least = 1 if widths.min() == widths.max() else 2
    wanted = round(most * _USUAL_WIDTH / float(widths.mean()))
    count = min(len(plans), max(least, min(most, wanted)))
    work = np.stack([widths * sizes, tokens, sizes], axis=1)
    means = _per_example(work.sum(axis=0))
    parts = np.array_split(np.lexsort((tokens, widths)), count)
    chosen = [part[len(part) // 2] for part in parts]
    for _ in range(_PASSES):
        for index, part in enumerate(parts):
            others = work[chosen[:index] + chosen[index + 1 :]].sum(axis=0)
            distance = np.abs(_per_example(others + work[part]) / means - 1).sum(axis=1)
            chosen[index] = part[distance.argmin()]
    return [plans[index] for index in chosen]


def _per_example(work: np.ndarray) -> np.ndarray:
    return work[..., :2] / work[..., 2:]
