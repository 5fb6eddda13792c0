"""Classify sentences with a trained folder:

python -m tools.predict --model outputs/SST-2 "a gripping film" "dull from start to end"
python -m tools.predict --model outputs/SST-2 --file sentences.txt
cat sentences.txt | python -m tools.predict --model outputs/SST-2

Prints one JSON object a line. In a file or on standard input, both in UTF-8, a line is a sentence; for a
model of pairs (STS-B), two sentences with a tab between them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
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
from tools.cli.parser import Parser, number
from tools.cli.program import end_program, run_command
from tools.machine.device import DEVICES, select_device
from tools.run.scoring import compute_logits

_CHUNK = 1024  # So many sentences are sorted by length together; results come after each chunk.


def read_sentences(args: argparse.Namespace) -> Iterator[str]:
    """Yield the sentences from the arguments, the file, or standard input, without empty lines.

    Raises:
        ValueError: the text is not UTF-8, or some are pairs (with a tab) and some are not; names the line.
    """
    source = "the arguments"
    lines: Iterable[str] = args.sentences
    if not args.sentences:
        source = args.file or "standard input"
        lines = _read_lines(args.file)
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


def predict(args: argparse.Namespace) -> None:
    """Load the folder and print a JSON object for each sentence."""
    if not has_classifier(args.model):
        raise UsageError(f"--model {args.model} holds no trained classifier: train one first")
    device = select_device(args.device, args.device_id)
    device.activate()
    device.keep_memory()
    config = AlbertConfig.from_file(args.model)
    tokenizer = AlbertTokenizer(find_vocabulary(args.model))
    model = load_model(args.model, config).to(device.torch_device)
    length = min(args.max_seq_length, config.max_position_embeddings)
    for texts in chunks(read_sentences(args), _CHUNK):
        features = tokenize(texts, tokenizer, length)
        logits = compute_logits(model, features, device, args.batch_size, length)
        labels = None if config.num_labels == 1 else config.labels
        for text, record in zip(texts, prediction_records(logits, labels), strict=True):
            print(json.dumps({"text": text, **record}, ensure_ascii=False))


def chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield ``items`` in lists of ``size``, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("predict", _check, description=__doc__)
    add = parser.add_argument
    add("sentences", nargs="*", help="what to classify (default: the lines of standard input)")
    add("--model", type=Path, required=True, help="the output folder of a training run")
    add("--file", type=Path, help="a file with a sentence a line")
    add(
        "--batch_size",
        type=number(int, 1),
        default=32,
        metavar="N",
        help="sentences computed together",
    )
    add(
        "--max_seq_length",
        type=number(int, 5),
        default=128,
        metavar="N",
        help="longer texts are cut",
    )
    add("--device", choices=DEVICES, default="auto", help="where to compute")
    add("--device_id", type=number(int, 0), default=0, metavar="N", help="which of several")
    return parser


def _check(args: argparse.Namespace) -> argparse.Namespace:
    if args.sentences and args.file:
        raise UsageError("sentences and --file exclude each other")
    return args


def main(words: Sequence[str]) -> int:
    """Parse the flags and predict; returns the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale says.
    return run_command(build_parser(), predict, words)


if __name__ == "__main__":
    end_program(main(sys.argv[1:]))
