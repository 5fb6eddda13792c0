"""Tasks as data: GLUE's (Wang et al. 2018, arXiv:1804.07461) and LCQMC (Liu et al. 2018, COLING)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "dev", "test")
CORRELATIONS = ("pearson", "spearmanr", "corr")
# The first ones are GLUE's and the references'.
OF_NUMBERS = (*CORRELATIONS, "mae", "rmse")


def _default_files() -> dict[str, tuple[str, ...]]:
    return {split: (f"{split}.tsv",) for split in SPLITS}


@dataclass(frozen=True)
class Task:
    """One task: where its files are, what their columns mean, how it is scored.

    Attributes:
        folder: the name of its folder in GLUE's download, and of its submission file.
        texts: column names of the first and, in a task of pairs, the second text.
        label: column name of the target, absent from the test file.
        labels: class names in the order of the model's outputs; None for regression.
        metrics: names from :data:`processors.metrics.METRICS`; the first one stands for the task.
        files: file names by split. A second dev or test file is scored and predicted beside the first.
        suffixes: what tells the metrics of each dev file apart, after their names.
        submissions: GLUE's names of the predictions of each test file; () means ``folder``.
        headerless: the columns of a split whose files have no header line, by split.
        skips_broken_rows: whether a row of training data without all its columns is left out, as in the
            references, instead of being an error.
        archive: the name of GLUE's archive; None where there is none.
        index: the column whose values, where a test file has it, name its rows in the predictions;
            without it they are counted from 0.
        encoding: of the files, by Python's name.
        own_files: whether the user names the files and their columns, which GLUE does otherwise.
        submitted_range: the least and the greatest number that GLUE's server takes.
        label_separator: what stands between the labels of an example, of which it has any number; None
            where it has one class.
        other_ending: of files that are taken where those of ``files`` are not there.
    """

    name: str
    folder: str
    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]] = field(default_factory=_default_files)
    suffixes: tuple[str, ...] = ("",)
    submissions: tuple[str, ...] = ()
    headerless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skips_broken_rows: bool = False
    archive: str | None = None
    index: str = "index"
    encoding: str = "utf-8"
    own_files: bool = False
    submitted_range: tuple[float, float] | None = None
    label_separator: str | None = None
    other_ending: str | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the target is a number instead of a class."""
        return self.labels is None

    @property
    def is_multi_label(self) -> bool:
        """Whether an example has any number of the labels."""
        return self.label_separator is not None

    def labels_in(self, cell: str) -> list[str]:
        """Return the labels that a cell names: itself, or in a multi-label task its parts, each once."""
        if self.label_separator is None:
            return [cell]
        parts = map(str.strip, cell.split(self.label_separator))
        return list(dict.fromkeys(part for part in parts if part))

    @property
    def has_pairs(self) -> bool:
        """Whether an example is two texts."""
        return len(self.texts) == 2

    def paths(self, data_dir: str | Path, split: str) -> list[Path]:
        """Return the paths of the files of one of the :data:`SPLITS`."""
        return [self._found(Path(data_dir) / name) for name in self.files[split]]

    def _found(self, path: Path) -> Path:
        other = path.with_suffix(self.other_ending) if self.other_ending else path
        return other if other.is_file() and not path.is_file() else path

    def columns(self, split: str) -> tuple[str, ...]:
        """Return the columns that the files of ``split`` must have."""
        return self.texts if split == "test" else (*self.texts, self.label)

    @property
    def submission_names(self) -> tuple[str, ...]:
        """The name of each test file's predictions, without an ending."""
        return self.submissions or (self.folder,)


_BINARY = ("0", "1")
_PAIR = ("sentence1", "sentence2")
_MNLI_LABELS = ("contradiction", "entailment", "neutral")
_COLA_COLUMNS = ("source", "label", "original_annotation", "sentence")
_LCQMC_COLUMNS = ("text_a", "text_b", "label")

TASKS = {
    task.name: task
    for task in (
        Task(
            "cola", "CoLA", ("sentence",), "label", _BINARY, ("mcc",),
            headerless={"train": _COLA_COLUMNS, "dev": _COLA_COLUMNS}, archive="CoLA",
        ),
        Task(
            "mnli", "MNLI", _PAIR, "gold_label", _MNLI_LABELS, ("acc",),
            files={
                "train": ("train.tsv",),
                "dev": ("dev_matched.tsv", "dev_mismatched.tsv"),
                "test": ("test_matched.tsv", "test_mismatched.tsv"),
            },
            suffixes=("", "_mm"), submissions=("MNLI-m", "MNLI-mm"), archive="MNLI",
        ),
        Task(
            "mnli-mm", "MNLI", _PAIR, "gold_label", _MNLI_LABELS, ("acc",),
            files={
                "train": ("train.tsv",), "dev": ("dev_mismatched.tsv",), "test": ("test_mismatched.tsv",),
            },
            submissions=("MNLI-mm",), archive="MNLI",
        ),
        Task(
            "mrpc", "MRPC", ("#1 String", "#2 String"), "Quality", _BINARY,
            ("acc", "f1", "acc_and_f1"),
        ),
        Task("sst-2", "SST-2", ("sentence",), "label", _BINARY, ("acc",), archive="SST-2"),
        Task(
            "sts-b", "STS-B", _PAIR, "score", None, OF_NUMBERS, archive="STS-B",
            submitted_range=(0.0, 5.0),
        ),
        Task(
            "qqp", "QQP", ("question1", "question2"), "is_duplicate", _BINARY,
            ("acc", "f1", "acc_and_f1"), skips_broken_rows=True, index="id", archive="QQP-clean",
        ),
        Task(
            "qnli", "QNLI", ("question", "sentence"), "label", ("entailment", "not_entailment"),
            ("acc",), archive="QNLIv2",
        ),
        Task("rte", "RTE", _PAIR, "label", ("entailment", "not_entailment"), ("acc",), archive="RTE"),
        Task("wnli", "WNLI", _PAIR, "label", _BINARY, ("acc",), archive="WNLI"),
        Task(
            "lcqmc", "LCQMC", ("text_a", "text_b"), "label", _BINARY, ("acc",),
            headerless=dict.fromkeys(SPLITS, _LCQMC_COLUMNS), other_ending=".txt",
        ),
    )
}  # fmt: skip
