"""The flags of run_classifier.py on which it depends what is learned, and how fast."""

from __future__ import annotations

from dataclasses import dataclass, replace

from callback.lr_scheduler import SCHEDULES
from callback.optimization import OPTIMIZERS
from processors.batching import PADDING_POLICIES
from tools.cli.groups import flag
from tools.cli.parser import Number
from tools.precision.choice import PrecisionFlags

BALANCED = "balanced"
# The references' defaults, which are made for GLUE's tasks.
LEARNING_RATE = 5e-5
NUM_TRAIN_EPOCHS = 3.0
_WHERE_THEY_GO = ("off", "auto", "on")


@dataclass(frozen=True)
class TrainingFlags(PrecisionFlags):
    """What is learned depends on these: a run is resumed with the same (tools/run/resume.py).

    It depends on the data as well, which are compared by what they are: checksum, classes, longest input.
    """

    batch_size: int = flag(
        8,
        "examples a process",
        aliases=("per_gpu_train_batch_size",),
        type=Number(int, 1),
        metavar="N",
    )
    padding: str = flag(
        "bucket",
        "pad a batch to --max_seq_length as the references do, to its longest example, or to a few "
        "fixed widths with examples of like length together",
        choices=PADDING_POLICIES,
    )
    drop_last: bool = flag(
        False, "leave out of an epoch what does not fill a last batch, as the references do"
    )
    gradient_accumulation_steps: int = flag(
        1, "batches per optimizer step", type=Number(int, 1), metavar="N"
    )
    optimizer: str = flag(
        "lamb",
        f"{', '.join(OPTIMIZERS)}; see requirements-optional.txt for some",
        choices=OPTIMIZERS,
        metavar="NAME",
    )
    lr_schedule: str = flag(
        "linear",
        f"what follows the warm-up: {', '.join(SCHEDULES)}",
        choices=SCHEDULES,
        metavar="NAME",
    )
    learning_rate: float | None = flag(
        None,
        f"its peak (default: {LEARNING_RATE:g}; for a task of one's own by the number of its examples)",
        type=Number(float, 0),
        metavar="X",
    )
    weight_decay: float = flag(0.0, "on weight matrices", type=Number(float, 0), metavar="X")
    adam_epsilon: float = flag(
        1e-6, "LAMB's and Adam's epsilon", type=Number(float, 0, above=True), metavar="X"
    )
    max_grad_norm: float = flag(
        1.0, "clip the gradient's norm to this; 0 = never", type=Number(float, 0), metavar="X"
    )
    class_weights: str | None = flag(
        None,
        f"how much an example of each class counts in the loss, by their ratios: {BALANCED}, so that all "
        "classes count alike, or a=1,b=2.5",
        metavar="WEIGHTS",
    )
    label_smoothing: float = flag(
        0.0,
        "share of the target that goes to all classes alike",
        type=Number(float, 0, 0.99),
        metavar="X",
    )
    num_train_epochs: float | None = flag(
        None,
        f"passes over the training data (default: {NUM_TRAIN_EPOCHS:g}; for a task of one's own by the "
        "number of its examples)",
        type=Number(float, 0, above=True),
        metavar="X",
    )
    max_steps: int = flag(
        -1, "if above 0: this many optimizer steps instead", type=Number(int, -1), metavar="N"
    )
    warmup_proportion: float = flag(
        0.1, "share of the steps in which the rate rises", type=Number(float, 0, 1), metavar="X"
    )
    stop_point: float = flag(
        1.0,
        "with --do_eval: end once the metric reaches this; 1.0 = never",
        type=Number(float, 0, 1),
        metavar="X",
    )
    seed: int = flag(42, "for all random numbers", type=Number(int, 0, 2**32 - 1), metavar="N")
    gradient_checkpointing: bool = flag(
        False,
        "compute each layer again in the backward pass: a third slower, far less memory",
    )
    torch_compile: bool = flag(
        False, "let torch compile the network, which takes minutes; no gain on a CPU"
    )
    fused_kernels: str = flag(
        "auto",
        "on a GPU what lies between the matrix products by kernels made for it; in half precision the "
        "hidden states are then in that; auto = where they work and one process runs alone",
        choices=_WHERE_THEY_GO,
    )
    cuda_graphs: str = flag(
        "auto",
        "run the parts of a step, and batches that are scored, as CUDA graphs, which do not wait for the "
        "host; auto = where one process runs alone, and the other flags and the memory allow it",
        choices=_WHERE_THEY_GO,
    )

    def with_defaults(self) -> TrainingFlags:
        """Return these with the references' rate and number of epochs where no flag gave any."""
        rate, epochs = self.learning_rate, self.num_train_epochs
        return replace(
            self,
            learning_rate=LEARNING_RATE if rate is None else rate,
            num_train_epochs=NUM_TRAIN_EPOCHS if epochs is None else epochs,
        )
