"""``tokenizer_config.json``, which says how the vocabulary beside it is to be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model.file_names import TOKENIZER_CONFIG
from model.json_files import read_json_object, shown


class TokenizerConfig:
    """The file in a folder; where there is none, nothing is said.

    Raises:
        ValueError: it is no JSON object.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / TOKENIZER_CONFIG
        there = self._file.exists() or self._file.is_symlink()
        self.values: dict[str, Any] = (
            read_json_object(self._file, "tokenizer configuration") if there else {}
        )

    def flag(self, name: str, default: bool | None) -> bool | None:
        """Return a value that is true or false, or null where that is its default.

        Raises:
            ValueError: it is something else.
        """
        value = self.values.get(name, default)
        if not isinstance(value, bool) and value is not default:
            raise ValueError(f"{self._file}: {name} is {shown(value)}, not true or false")
        return value

    def token(self, name: str) -> str | None:
        """Return how a special token is written; None where that is not said.

        Raises:
            ValueError: it is no text, and no object that has one for its ``content``.
        """
        value = self.values.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if value is not None and not isinstance(text, str):
            raise ValueError(f"{self._file}: {name} is {shown(value)}, not a token's text")
        return text
