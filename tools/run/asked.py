"""What a trained model is asked: arguments, standard input, a file of lines or a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from model.configuration_albert import AlbertConfig
from processors.formats import is_named_table
from processors.sentences import (
    Sentences,
    sentences_of_lines,
    sentences_of_table,
    sentences_of_text,
)
from processors.text_files import decode, read_text
from tools.cli.errors import UsageError


def read_sentences(
    arguments: Sequence[str],
    file: Path | None,
    text_columns: tuple[str, ...] | None,
    encoding: str,
    config: AlbertConfig,
) -> Sentences:
    """Return what is to be classified: the arguments, a file, or else standard input.

    Args:
        text_columns: the columns of a table. None: those that the model was trained with, where the
            file's name says that it is a table.
        config: of the model that is asked.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: as :mod:`processors.sentences` has it.
        UsageError: a sentence, or the number of columns, is not for this model, or nothing says which
            columns.
    """
    if text_columns:
        _check_columns(text_columns, config.has_pairs)
    elif file and is_named_table(file):
        text_columns = config.text_columns
        if not text_columns:
            raise UsageError(
                f"--file {file} is a table by its name, and the model does not say which columns it was "
                "trained with: say with --text_columns which column has the text; a file with a sentence "
                "a line has another ending"
            )
    if text_columns:
        return sentences_of_table(file, text_columns, encoding)
    if arguments:
        try:
            return sentences_of_lines(arguments, "the arguments", "sentence", config.has_pairs)
        except ValueError as error:
            raise UsageError(str(error)) from error
    if file:
        text, source = read_text(file, encoding), str(file)
    else:  # It is read as bytes: what the locale says of them is nothing to go by.
        source = "standard input"
        text = decode(sys.stdin.buffer.read(), source, encoding)
    return sentences_of_text(text, source, config.has_pairs)


def _check_columns(text_columns: tuple[str, ...], has_pairs: bool | None) -> None:
    wanted, given = 1 + bool(has_pairs), len(text_columns)
    if has_pairs is not None and given != wanted:
        raise UsageError(
            f"--text_columns {','.join(text_columns)}: {given} for a model that was trained "
            f"on {'pairs of texts: give 2' if has_pairs else 'single texts: give 1'}"
        )
