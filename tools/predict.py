"""Classify sentences with a trained folder:

python -m tools.predict --model outputs/SST-2 "a gripping film" "dull from start to end"
python -m tools.predict --model outputs/SST-2 --file sentences.txt
python -m tools.predict --model outputs/custom --file new.csv --output scored.csv
cat sentences.txt | python -m tools.predict --model outputs/SST-2

Prints one JSON object for each input, in their order, with its number as "id". In a file or on standard
input a line is a sentence; for a model of pairs (STS-B), two sentences with a tab between them. A file
that ends in .csv, .tsv, .jsonl, .json or .parquet, and any with --text_columns, is a table, read as in
training (.gz may follow); "id" is the line that the row begins on, or the number of the record.

With --output the table is written with all its columns and rows, in their order, and beside them the
prediction, and the probability of each class or the score: as CSV, or JSON lines where the name ends in
.jsonl. Of lines it has "id" and "text".

A blank line, or a row of a table whose text is empty, has null for a prediction (in CSV nothing): it says
nothing that could be classified. Only in a table of several columns a blank line is no row: at the end it
is passed over, between rows it is refused.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
import numpy as np

from callback.heartbeat import counting
from model.configuration_albert import AlbertConfig
from model.file_names import CONFIG_NAME
from model.tokenizer import Tokenizer
from model.vocabulary import Sources, check_vocabulary, find_vocabulary, load_tokenizer
from processors.features import Features, build_features
from processors.multi_label import LABEL_SEPARATOR
from processors.predictions import write_table
from processors.sentences import Sentences
from processors.submission import prediction_records
from processors.windows import build_windows, mean_of_windows
from tools.cli.errors import UsageError
from tools.cli.groups import flag, parser_of
from tools.cli.parser import Number
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.exporting.names import RUNNERS, check_packages
from tools.exporting.onnx_network import OnnxNetwork, check_exported, network_files
from tools.machine.hub import local_model
from tools.machine.process_flags import CPU_DEVICES, DEVICES
from tools.run.asked import read_sentences
from tools.run.data_facts import OutputRange, count_unknown, warn_of_unknown
from tools.run.data_flags import (
    ENCODING_HELP,
    column_names,
    inputs_of,
    length_flag,
    other_inputs,
    text_encoding,
    truncation_flag,
)
from tools.run.new_table import check_new_table

logger = logging.getLogger(__name__)

_CHUNK = 1024  # So many sentences are sorted by length together; results come after each chunk.
_BATCH_SIZE = 32
Logits = Callable[[Features], np.ndarray]  # [N, num_labels] of N examples


@dataclass(frozen=True)
class PredictFlags:
    """What to classify, with which model, and where."""

    sentences: Sequence[str] = flag(
        (), "what to classify (default: the lines of standard input)", positional=True, nargs="*"
    )
    model: Path = flag(
        None,
        "the output folder of a training run, or a model of the Hugging Face hub",
        type=Path,
        required=True,
    )
    file: Path | None = flag(None, "a file with a sentence a line, or a table", type=Path)
    text_columns: tuple[str, ...] | None = flag(
        None,
        "--file is a table: its column of the text, or of both texts of a pair (default: those that the "
        "model was trained with)",
        type=column_names,
        metavar="A[,B]",
    )
    output: Path | None = flag(
        None,
        "write the table there, with the predictions: .csv or .jsonl",
        type=Path,
        metavar="FILE",
    )
    encoding: str = flag("utf-8", ENCODING_HELP, type=text_encoding, metavar="NAME")
    batch_size: int | None = flag(
        None,
        f"sentences computed together (default: {_BATCH_SIZE}; on a GPU as many as it takes to be busy)",
        type=Number(int, 1),
        metavar="N",
    )
    max_seq_length: int | None = length_flag("longer texts are cut to so many tokens")
    truncation: str | None = truncation_flag()
    windows: bool = flag(
        False, "have longer texts read in windows that overlap, and take the mean of their outputs"
    )
    window_stride: int | None = flag(
        None,
        "tokens from a window's begin to the next one's (default: half a window)",
        type=Number(int, 1),
        metavar="N",
    )
    bf16: bool = flag(
        False,
        "compute in bf16 where torch deems it safe, not in fp32: faster where there are units for "
        "it, and to within its rounding",
    )
    onnx: bool = flag(
        False,
        "have onnxruntime compute, on the CPU, what tools.export made of the model: a folder with "
        "model.onnx; torch is not loaded",
    )
    int8: bool = flag(False, "with --onnx: by the folder's model_int8.onnx")
    device: str = flag("auto", "where to compute", choices=DEVICES)
    device_id: int = flag(0, "which of several", type=Number(int, 0), metavar="N")

    def __post_init__(self) -> None:
        self._check_onnx()
        if self.window_stride and not self.windows:
            raise UsageError(
                "--window_stride is about --windows: give that as well, or leave it out"
            )
        if self.truncation and self.windows:
            raise UsageError(
                f"--truncation {self.truncation} says what is cut, and --windows cuts nothing: leave one "
                "out"
            )
        if self.sentences and self.file:
            raise UsageError("sentences and --file exclude each other")
        if self.sentences and self.encoding != PredictFlags.encoding:
            raise UsageError(
                f"--encoding {self.encoding} is about --file and standard input: sentences on the command "
                "line are text already; leave it out"
            )
        if self.file and not self.file.exists():
            raise UsageError(f"--file {self.file} is missing")
        if self.file and self.file.is_dir():
            raise UsageError(
                f"--file {self.file} is a folder: name a file with a sentence a line, or a table"
            )
        if self.text_columns and not self.file:
            raise UsageError("--text_columns names columns of a table: give it with --file")
        if self.output:
            check_new_table(self.output)

    def _check_onnx(self) -> None:
        if self.int8 and not self.onnx:
            raise UsageError("--int8 says which network --onnx is to compute: give that as well")
        if not self.onnx:
            return
        if self.bf16:
            raise UsageError(
                "--bf16 is torch's, and --onnx computes in fp32 or int8: leave one out"
            )
        if self.device not in CPU_DEVICES or self.device_id:
            device = (
                f"--device_id {self.device_id}" if self.device_id else f"--device {self.device}"
            )
            raise UsageError(
                f"{device}: --onnx computes on the CPU alone: leave one of the two out"
            )
        check_packages("--onnx", RUNNERS)


def predict(flags: PredictFlags) -> None:
    """Load the folder and print, or write, what it says of each sentence; all are read before that."""
    wanted = network_files(flags.int8) if flags.onnx else ()
    flags = replace(flags, model=local_model(flags.model, "--model", wanted))
    network = check_exported(flags.model, flags.int8) if flags.onnx else None
    if network is None:
        # What imports torch, which takes seconds, is imported where it is needed.
        from tools.run.trained import check_trained

        check_trained(flags.model, "--model")
    config = AlbertConfig.from_file(flags.model, is_scored=True)
    tokenizer = load_tokenizer(find_vocabulary(flags.model))
    check_vocabulary(config, tokenizer, Sources(flags.model / CONFIG_NAME))
    sentences = read_sentences(
        flags.sentences, flags.file, flags.text_columns, flags.encoding, config
    )
    length, truncation = inputs_of(config, flags.max_seq_length, flags.truncation)
    length = min(length, config.max_position_embeddings)
    for remark in other_inputs(config, length, truncation):
        logger.warning("%s", remark)
    config.set_inputs(length, truncation)
    stride = window_stride(flags, sentences, length) if flags.windows else 0
    logits_of = load_network(flags, config, network)
    seen, labels = Seen(OutputRange(config.is_multi_label)), classes_of(config)

    def records() -> Iterator[dict[str, Any]]:
        # Without --output the records themselves are seen.
        with counting(len(sentences), "inputs", enabled=flags.output is not None) as counter:
            for start in range(0, len(sentences), _CHUNK):
                part = sentences.part(start, start + _CHUNK)
                yield from classify(part, config, tokenizer, logits_of, seen, stride)
                counter.done = start + _CHUNK

    if flags.output:
        rows = zip(sentences.rows(), records(), strict=True)
        header = sentences.header or ("id", "text")
        added = list(no_prediction(labels))
        separator = config.label_separator or LABEL_SEPARATOR
        count = write_table(flags.output, header, rows, labels or (), added, separator)
        say(f"{flags.output}: {count} rows")
    else:
        for number, texts, record in zip(sentences.ids, sentences.texts, records(), strict=True):
            shown = {"id": number, "text": "\t".join(texts), **record}
            say(json.dumps(shown, ensure_ascii=False))
    warn_of_unknown("the input", seen.unknown, seen.tokens, "--model")
    seen.outputs.warn_if_alike("the input")
    if seen.cut:
        logger.warning(
            "%d of the %d inputs are longer than %d tokens (--max_seq_length), and cut%s",
            *(seen.cut, len(sentences), length),
            "" if config.has_pairs else " (--windows has all of a text read)",
        )


def load_network(flags: PredictFlags, config: AlbertConfig, exported: Path | None) -> Logits:
    """Return what computes the outputs: the exported network's file, or else the folder's weights.

    Args:
        config: of the model, with the length of its inputs.
    """
    size, length = flags.batch_size or _BATCH_SIZE, config.max_seq_length
    if exported:
        network = OnnxNetwork(exported)
        return lambda features: network.logits(features, size, length)
    from tools.run.torch_network import TorchNetwork

    bf16_flag = "--bf16" if flags.bf16 else None
    model = TorchNetwork(flags.model, config, flags.device, flags.device_id, bf16_flag)
    return lambda features: model.logits(features, size, length, bool(flags.batch_size))


def window_stride(flags: PredictFlags, sentences: Sentences, max_seq_length: int) -> int:
    """Return by how many tokens a window begins after the one before.

    Raises:
        UsageError: the sentences are pairs, or windows would leave tokens out between them.
    """
    told = zip(sentences.texts, sentences.has_text, strict=True)
    if any(len(texts) > 1 and has_text for texts, has_text in told):
        raise UsageError("--windows is for single texts, and these are pairs: leave it out")
    size = max_seq_length - 2
    if (flags.window_stride or 1) > size:
        raise UsageError(
            f"--window_stride {flags.window_stride} leaves tokens out: a window has {size} of a text's, "
            f"which --max_seq_length {max_seq_length} says"
        )
    return flags.window_stride or max(1, size // 2)


@dataclass
class Seen:
    """What was classified so far: the outputs, unknown tokens, all tokens, and inputs that were cut."""

    outputs: OutputRange
    unknown: int = 0
    tokens: int = 0
    cut: int = 0

    def add(self, features: Features, tokenizer: Tokenizer, logits: np.ndarray) -> None:
        """Count N examples and their [N, num_labels] logits."""
        unknown, tokens = count_unknown(features, tokenizer)
        self.unknown, self.tokens = self.unknown + unknown, self.tokens + tokens
        self.cut += int(features.cut.sum())
        self.outputs.add(features, logits)


def classify(
    sentences: Sentences,
    config: AlbertConfig,
    tokenizer: Tokenizer,
    logits_of: Logits,
    seen: Seen,
    stride: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yield the record of each of the N sentences, in their order.

    It is what :func:`processors.submission.prediction_records` returns, or :func:`no_prediction` for a
    sentence without text. What is classified is added to ``seen``. With a ``stride`` above 0, longer
    texts are read in windows.
    """
    labels = classes_of(config)
    has_text = sentences.has_text
    records = iter(())
    if any(has_text):
        examples = sentences.examples()
        length, truncation = config.max_seq_length, config.truncation
        if stride:
            features, counts = build_windows(examples.texts_a, tokenizer, length, stride)
        else:
            features = build_features(examples, tokenizer, length, False, truncation)
        logits = logits_of(features)
        seen.add(features, tokenizer, logits)
        if stride:
            logits = mean_of_windows(logits, counts)
        records = iter(prediction_records(logits, labels, config.is_multi_label))
    for full in has_text:
        yield next(records) if full else no_prediction(labels)


def classes_of(config: AlbertConfig) -> list[str] | None:
    """Return what the outputs of a model are called; None for a model of numbers."""
    return None if config.num_labels == 1 and not config.is_multi_label else config.labels


def no_prediction(labels: Sequence[str] | None) -> dict[str, None]:
    """Return the record of a sentence without text; ``labels`` is None for a model of numbers."""
    return dict.fromkeys(("prediction", "score" if labels is None else "probabilities"))


def main(words: Sequence[str]) -> int:
    """Parse the flags and predict; returns the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale says.
    return run_command(parser_of(PredictFlags, "predict", __doc__), predict, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
