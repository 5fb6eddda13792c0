"""A tokenizer's files in a folder: its vocabulary, and what transformers' ``AutoTokenizer`` needs."""

from __future__ import annotations

from pathlib import Path

from model.tokenizer import Tokenizer


def save_tokenizer(
    tokenizer: Tokenizer, folder: str | Path, model_max_length: int | None = None
) -> None:
    """Write some of :data:`model.file_names.TOKENIZER_FILES` (:meth:`model.tokenizer.Tokenizer.files`).

    Args:
        model_max_length: how many tokens the model takes, which transformers cuts a text to.
    """
    for name, content in tokenizer.files(model_max_length).items():
        (Path(folder) / name).write_bytes(content)
