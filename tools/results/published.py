"""The published table: what each row came to, and whether a run of ours agrees with it."""

from __future__ import annotations

from dataclasses import dataclass

from tools.cli.errors import UsageError
from tools.results.run_folder import RunFolder

_PADDED_SO = (
    "max_length"  # The published speeds are of inputs that are all padded to the full length.
)


@dataclass(frozen=True)
class Row:
    """A row of README.md's tables.

    Attributes:
        accuracy: of ``examples`` sentences.
        samples_per_second: which a run is to reach; None where that is another machine's.
        launcher: of test/, which runs it.
    """

    accuracy: float
    examples: int
    samples_per_second: float | None
    launcher: str

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval."""
        from processors.intervals import wilson  # What is looked up before needs no packages.

        return wilson(round(self.accuracy * self.examples), self.examples)


# The published accuracies are of the 440 sentences that one batch of the references' evaluation held.
ROWS = {
    "gpu1": Row(0.927, 440, 517, "train_full_1p.sh"),
    "gpu8": Row(0.914, 440, 3327, "train_full_8p.sh"),
    "npu1": Row(0.932, 440, 445.21, "train_full_1p.sh"),
    "npu8": Row(0.927, 440, 3111.56, "train_full_8p.sh"),
    "demo": Row(0.784, 1000, None, "train_demo_1p.sh"),
}


def judge(name: str, folder: RunFolder) -> tuple[bool, str]:
    """Return whether a run agrees with the row of that name, and why.

    Its accuracy must not be below the row's interval, and its best epoch at least as fast.

    Raises:
        UsageError: the run is not through, or padded otherwise where the speed counts.
    """
    row = ROWS[name]
    final = [record for record in folder.of("eval") if record.get("model") == "model"]
    if not final or "acc" not in final[-1]:
        raise UsageError(
            f"{folder.path} holds no accuracy of a trained model: train with --do_eval"
        )
    accuracy, examples = final[-1]["acc"], final[-1]["examples"]
    low, high = row.interval
    place = "below" if accuracy < low else "above" if accuracy > high else "inside"
    good = place != "below"
    text = (
        f"accuracy {accuracy:.3f} on {examples} sentences is {place} {low:.3f} to {high:.3f}, the 95 % "
        f"interval of {row.accuracy} on {row.examples}"
    )
    fps = max((record["fps"] for record in folder.of("epoch")), default=None)
    if row.samples_per_second is None or fps is None:
        return good, text
    padding = folder.run.get("flags", {}).get("padding")
    if padding != _PADDED_SO:
        raise UsageError(
            f"{folder.path} was trained with --padding {padding}, and the published speeds are of "
            f"--padding {_PADDED_SO}"
        )
    fast = fps >= row.samples_per_second
    word = "at least" if fast else "less than"
    return good and fast, f"{text}; {fps:.0f} samples/s, {word} {row.samples_per_second:g}"
