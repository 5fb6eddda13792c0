"""What a trained model is asked about: lines of text or rows of a table, each with its number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from processors.custom import custom_task
from processors.reading import Examples
from processors.rows import split_lines
from processors.tables import read_whole_table


@dataclass(frozen=True)
class Sentences:
    """N inputs in their order.

    Attributes:
        ids: [N] the argument, the line or the record that each is, or that its row begins on, from 1.
        texts: [N] one text each, or the two of a pair; of a blank line, what is between its tabs.
        columns: [C][N] the values of all columns of the table that they are from, as
            :class:`processors.tables.Table` has them; none for lines of text.
        header: [C] the columns' names.
    """

    ids: list[int]
    texts: list[tuple[str, ...]]
    columns: list[list[Any]] = field(default_factory=list)
    header: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Sentences:
        """Return the inputs from position ``start`` to before ``stop``."""
        columns = [column[start:stop] for column in self.columns]
        return Sentences(self.ids[start:stop], self.texts[start:stop], columns, self.header)

    def rows(self) -> Iterator[Sequence[Any]]:
        """Yield the N rows of the table, or of lines the number and the text of each."""
        if self.header:
            return zip(*self.columns, strict=True)
        return zip(self.ids, map("\t".join, self.texts), strict=True)

    @property
    def has_text(self) -> list[bool]:
        """Whether each of the N says anything: a blank one has nothing to classify."""
        return [any(map(str.strip, texts)) for texts in self.texts]

    def examples(self) -> Examples:
        """Return those that say anything, as the model takes them; there must be one."""
        pairs = zip(self.texts, self.has_text, strict=True)
        columns = zip(*(texts for texts, has_text in pairs if has_text), strict=True)
        return Examples(*map(list, columns))


def sentences_of_lines(
    lines: Sequence[str], source: str, word: str, model_has_pairs: bool | None
) -> Sentences:
    """Return the sentences that ``lines`` are, or, for a model of pairs, the two with a tab between them.

    Args:
        source: where they are from, for the messages.
        word: what the messages call one of them.
        model_has_pairs: None where that is not known; then all lines must be of one kind.

    Raises:
        ValueError: a line is a pair where single sentences are wanted, or the other way round; names it.
    """
    texts = [tuple(line.split("\t")) for line in lines]
    numbers = list(range(1, len(texts) + 1))
    pairs, reason = model_has_pairs, "the model was trained on"
    for number, cells in zip(numbers, texts, strict=True):
        if not any(map(str.strip, cells)):
            continue
        if pairs is None:
            pairs, reason = len(cells) == 2, f"after {word} {number} all must be"
        if len(cells) != 1 + pairs:
            tabs = {1: "no tab", 2: "a tab"}.get(len(cells), f"{len(cells) - 1} tabs")
            wanted = (
                "pairs, with one tab between the two"
                if pairs
                else "single sentences, without a tab"
            )
            raise ValueError(f"{source}, {word} {number} has {tabs} in it: {reason} {wanted}")
    return Sentences(numbers, texts)


def sentences_of_text(text: str, source: str, model_has_pairs: bool | None) -> Sentences:
    """Return the sentences of a text that has one a line.

    Lines end in LF or CR LF; the end of the last one may be missing.

    Raises:
        ValueError: as :func:`sentences_of_lines`; or the lines end in CR alone.
    """
    return sentences_of_lines(split_lines(text, source), source, "line", model_has_pairs)


def sentences_of_table(path: Path, columns: tuple[str, ...], encoding: str) -> Sentences:
    """Return the texts in one or two columns of a table, read as in training, and the whole of it.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: as :func:`processors.tables.read_columns`.
    """
    task = custom_task({"train": None, "dev": None, "test": str(path)}, columns, "", False)
    table = read_whole_table(replace(task, encoding=encoding), path, columns)
    texts = list(zip(*table.texts, strict=True))
    return Sentences(table.numbers, texts, table.columns, table.header)
