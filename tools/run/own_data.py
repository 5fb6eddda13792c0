"""How long and at which rate a task of one's own is trained, where no flag says so."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

from model.modeling_albert import AlbertForSequenceClassification
from processors.custom import CUSTOM
from tools.run.flags import Flags
from tools.run.start import Start
from tools.run.training_flags import LEARNING_RATE, NUM_TRAIN_EPOCHS, TrainingFlags

logger = logging.getLogger(__name__)

# What small tables want, measured (docs/models.md): so many steps, whatever the number of examples, and
# rates by which LAMB moves the weights by about their own size in those. GLUE's defaults suit tables a
# hundred times as large.
_STEPS = 750
_MOST_EPOCHS = 30
_RATE_OF_TRAINED, _RATE_OF_RANDOM = 1e-3, 3e-3


def with_training_defaults(flags: Flags, start: Start, processes: int) -> Flags:
    """Return the flags with a rate and a number of epochs for a task of one's own; log what was chosen.

    A run that goes on from a checkpoint has those of the run that wrote it. What a flag says stays, and
    GLUE's tasks have the references' values.

    Args:
        processes: that share a batch.
    """
    training = flags.training
    if flags.task.name != CUSTOM:
        return flags
    (examples,) = start.features["train"]
    if start.saved:
        chosen = start.saved.settings
    else:
        chosen = {
            "learning_rate": _choose_rate(training, start.model),
            "num_train_epochs": _choose_epochs(training, len(examples), processes),
        }
    names = ["learning_rate", "num_train_epochs"]
    if training.max_steps > 0:
        names.remove("num_train_epochs")
    values = {name: chosen.get(name) for name in names if getattr(training, name) is None}
    values = {name: value for name, value in values.items() if value is not None}
    if values:
        words = ", ".join(f"--{name} {value:g}" for name, value in values.items())
        logger.info("for %d examples: %s, unless flags say otherwise", len(examples), words)
    return replace(flags, training=replace(training, **values).with_defaults())


def _choose_epochs(training: TrainingFlags, examples: int, processes: int) -> float:
    batch = training.batch_size * training.gradient_accumulation_steps * processes
    epochs = math.ceil(_STEPS / math.ceil(examples / batch))
    return float(min(max(epochs, NUM_TRAIN_EPOCHS), _MOST_EPOCHS))


def _choose_rate(training: TrainingFlags, model: AlbertForSequenceClassification) -> float:
    if training.optimizer != "lamb":  # The steps of others are in no proportion to the weights.
        return LEARNING_RATE
    return _RATE_OF_RANDOM if model.is_untrained else _RATE_OF_TRAINED
