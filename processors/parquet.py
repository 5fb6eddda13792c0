"""Parquet → columns, by pyarrow, which is asked for only where such a file is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def parquet_columns(path: Path, data: bytes) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns, and the values of each: of N records, None where one is null.

    Raises:
        ModuleNotFoundError: pyarrow is not installed; says how it is.
        ValueError: it is no Parquet file, or one that pyarrow cannot read.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{path} is a Parquet file, which pyarrow reads ({error}): "
            "python -m pip install pyarrow"
        ) from error
    try:
        table = parquet.read_table(pa.BufferReader(data), use_threads=False)
        return list(table.column_names), [column.to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = next(iter(str(error).strip().splitlines()), repr(error)).strip()
        raise ValueError(
            f"{path} is no Parquet file that pyarrow can read ({reason[:200]}): copy or download it "
            "again, or write it anew"
        ) from error
