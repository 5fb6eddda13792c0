"""Parquet → columns, by pyarrow, which is asked for only where such a file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def open_parquet(path: Path, data: bytes) -> tuple[list[str], int, Callable[[int], list[Any]]]:
    """Return the names of the columns, the number N of records, and what returns a column by its place.

    It returns N values, None where one is null.

    Raises:
        ModuleNotFoundError: pyarrow is not installed; says how it is.
        ValueError: it is no Parquet file, or one that pyarrow cannot read; what returns a column raises
            it, too.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{path} is a Parquet file, which pyarrow reads ({error}): "
            "python -m pip install pyarrow"
        ) from error

    @contextmanager
    def reading() -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            reason = next(iter(str(error).strip().splitlines()), repr(error)).strip()
            raise ValueError(
                f"{path} is no Parquet file that pyarrow can read ({reason[:200]}): copy or download it "
                "again, or write it anew"
            ) from error

    def column(position: int) -> list[Any]:
        with reading():
            return table.column(position).to_pylist()

    with reading():
        table = parquet.read_table(pa.BufferReader(data), use_threads=False)
        return list(table.column_names), table.num_rows, column
