"""What a ``tokenizer.json`` of the tokenizers library has, whatever the kind of its vocabulary."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from model.files import digest


def tokenizer_json(
    special: Mapping[str, int], cls: str, sep: str, mask: str | None, **rules: Any
) -> dict[str, Any]:
    """Return a whole ``tokenizer.json``.

    Args:
        special: the ids of the tokens that no text may become, as they are written.
        cls, sep: those of them that begin and end an input.
        mask: the one that stands for a hidden word, which takes the space before it along.
        rules: ``normalizer``, ``pre_tokenizer``, ``decoder`` and ``model``.
    """
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": token == mask,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token, index in special.items()
        ],
        "post_processor": _template({token: special[token] for token in (cls, sep)}),
        **rules,
    }


def _template(ids: Mapping[str, int]) -> dict[str, Any]:
    """Return ``[CLS] a [SEP]`` and ``[CLS] a [SEP] b [SEP]`` with their token types."""
    cls, sep = ids

    def token(name: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [token(cls, 0), text("A", 0), token(sep, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, text("B", 1), token(sep, 1)],
        "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in ids.items()},
    }


def first_of(special: Iterable[str]) -> str:
    """Return a pattern for the first character of each spelling of a special token.

    A text that is cut behind it becomes no such token.
    """
    return "|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in special)


def model_digest(model: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the vocabulary in ``tokenizer.json``: its pieces, scores and merges.

    How texts are normalized and cut beforehand is not in it: what reads the file and writes it again, as
    transformers does, spells that in another way. Scores count as the 4 bytes that they once were.
    """
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, Mapping):
        pieces = [(index, text, 0.0) for text, index in vocabulary.items()]
    else:
        pieces = [(index, *piece) for index, piece in enumerate(vocabulary or ())]
    content = [
        struct.pack("<qQf", index, len(raw), score) + raw
        for index, text, score in sorted(pieces)
        for raw in [text.encode()]
    ]
    merges = model.get("merges") or ()
    content += [
        repr(pair.split(" ") if isinstance(pair, str) else pair).encode() for pair in merges
    ]
    return digest(b"".join([str(model.get("type")).encode(), *content]))
