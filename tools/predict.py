"""Classify sentences with a trained folder:

python -m tools.predict --model outputs/SST-2 "a gripping film" "dull from start to end"
python -m tools.predict --model outputs/SST-2 --file sentences.txt
cat sentences.txt | python -m tools.predict --model outputs/SST-2

Prints one JSON object a line. In a file or on standard input, both in UTF-8, a line is a sentence; for a
model of pairs (STS-B), two sentences with a tab between them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from model.checkpoint import has_classifier, load_model
from model.configuration_albert import AlbertConfig
from model.tokenization_albert import AlbertTokenizer, find_vocabulary
from processors.features import Features, build_features
from processors.reading import Examples
from processors.submission import prediction_records
from tools.cli.errors import UsageError
from tools.cli.groups import flag, parser_of
from tools.cli.parser import Number
from tools.cli.program import run_command
from tools.machine.device import select_device
from tools.machine.process_flags import DEVICES
from tools.run.scoring import compute_logits

_CHUNK = 1024  # So many sentences are sorted by length together; results come after each chunk.


@dataclass(frozen=True)
class PredictFlags:
    """What to classify, with which model, and where."""

    sentences: Sequence[str] = flag(
        (), "what to classify (default: the lines of standard input)", positional=True, nargs="*"
    )
    model: Path = flag(None, "the output folder of a training run", type=Path, required=True)
    file: Path | None = flag(None, "a file with a sentence a line", type=Path)
    batch_size: int = flag(32, "sentences computed together", type=Number(int, 1), metavar="N")
    max_seq_length: int = flag(128, "longer texts are cut", type=Number(int, 5), metavar="N")
    device: str = flag("auto", "where to compute", choices=DEVICES)
    device_id: int = flag(0, "which of several", type=Number(int, 0), metavar="N")

    def __post_init__(self) -> None:
        if self.sentences and self.file:
            raise UsageError("sentences and --file exclude each other")


def read_sentences(sentences: Sequence[str], file: Path | None) -> Iterator[str]:
    """Yield ``sentences``, or else those in the file or on standard input, without empty lines.

    Raises:
        ValueError: the text is not UTF-8, or some are pairs (with a tab) and some are not; names the line.
    """
    source = "the arguments"
    lines: Iterable[str] = sentences
    if not sentences:
        source = file or "standard input"
        lines = _read_lines(file)
    first = None
    try:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if not text.strip():
                continue
            kind = "a pair (with a tab)" if "\t" in text else "one sentence (without a tab)"
            if (first := first or (kind, number))[0] != kind:
                raise ValueError(
                    f"{source}, line {number}: {kind}, where line {first[1]} is {first[0]}"
                )
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not UTF-8") from error


def _read_lines(file: Path | None) -> Iterator[str]:
    if not file:  # As what is printed, it is UTF-8, whatever the locale says.
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    with file.open(encoding="utf-8-sig") if file else sys.stdin as lines:
        yield from lines


def tokenize(texts: list[str], tokenizer: AlbertTokenizer, max_seq_length: int) -> Features:
    """Return the features of ``texts``; all of them are pairs, with a tab, or none is."""
    columns = [
        list(column) for column in zip(*(text.split("\t", 1) for text in texts), strict=True)
    ]
    return build_features(Examples(*columns), tokenizer, max_seq_length, is_regression=False)


def predict(flags: PredictFlags) -> None:
    """Load the folder and print a JSON object for each sentence."""
    if not has_classifier(flags.model):
        raise UsageError(f"--model {flags.model} holds no trained classifier: train one first")
    device = select_device(flags.device, flags.device_id)
    device.activate()
    device.keep_memory()
    config = AlbertConfig.from_file(flags.model)
    tokenizer = AlbertTokenizer(find_vocabulary(flags.model))
    model = device.place(load_model(flags.model, config))
    length = min(flags.max_seq_length, config.max_position_embeddings)
    for texts in chunks(read_sentences(flags.sentences, flags.file), _CHUNK):
        features = tokenize(texts, tokenizer, length)
        logits = compute_logits(model, features, device, flags.batch_size, length)
        labels = None if config.num_labels == 1 else config.labels
        for text, record in zip(texts, prediction_records(logits, labels), strict=True):
            print(json.dumps({"text": text, **record}, ensure_ascii=False))


def chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield ``items`` in lists of ``size``, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def main(words: Sequence[str]) -> int:
    """Parse the flags and predict; returns the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale says.
    return run_command(parser_of(PredictFlags, "predict", __doc__), predict, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
