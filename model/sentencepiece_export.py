"""A SentencePiece model as Hugging Face's tokenizers library reads it, with the same ids as ours.

transformers builds another tokenizer from ``spiece.model`` alone (it splits the text at white space
first and so loses "▁" before punctuation). A ``tokenizer.json`` with every rule spelled out does not
leave it that choice.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any

from sentencepiece import SentencePieceProcessor

from model.sentencepiece_file import SPACE, Rules, charsmap
from model.tokenizer_json import first_of, tokenizer_json

# This far below every other score, a piece is in the vocabulary but no segmentation takes it.
_NEVER = 1000.0
_TEMPLATE = ("[CLS]", "[SEP]")  # Of whatever type they are.


def no_export(rules: Rules, never: Collection[int]) -> str | None:
    """Return why no ``tokenizer.json`` would have the same ids; None where one has them.

    Args:
        never: as in :func:`export`.
    """
    if rules.kind != "unigram":
        return f"its pieces are of the kind {rules.kind}, not unigram"
    if rules.suffix:
        return 'a word ends with "▁" instead of beginning with it'
    if not rules.escapes:
        return 'spaces are not written as "▁"'
    if not rules.collapses:
        return "several spaces stay"
    if never and not rules.prefix:  # ALBERT's rule takes the "▁" from what stands before the comma.
        return "a text gets no space before it, and pieces end in digit + comma"
    return None


def export(
    model: SentencePieceProcessor,
    raw: bytes,
    rules: Rules,
    settings: Mapping[str, bool],
    never: Collection[int],
    mask: str | None,
) -> dict[str, Any]:
    """Return ``tokenizer.json`` for a model of which :func:`no_export` says nothing.

    Args:
        raw: the model's file.
        settings: how a text is cleaned, by the names of :func:`model.tokenization_albert.clean_text`.
        never: the ids of the pieces that no text gets.
        mask: the token that stands for a hidden word, if there is one.
    """
    special = {
        model.IdToPiece(index): index
        for index in range(model.GetPieceSize())
        if model.IsControl(index) or model.IsUnknown(index) or model.IdToPiece(index) in _TEMPLATE
    }
    metaspace = {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": "always" if rules.prefix else "never",
        "split": False,
    }
    split = {
        "type": "Split",
        "pattern": {"Regex": first_of(special)},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    return tokenizer_json(
        special,
        cls=_TEMPLATE[0],
        sep=_TEMPLATE[1],
        mask=mask,
        normalizer={"type": "Sequence", "normalizers": _normalizers(raw, rules, settings)},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [metaspace, split]},
        decoder=metaspace,
        model={
            "type": "Unigram",
            "unk_id": model.unk_id(),
            "byte_fallback": rules.bytes,
            "vocab": _scored_pieces(model, never),
        },
    )


def _scored_pieces(
    model: SentencePieceProcessor, never: Collection[int]
) -> list[tuple[str, float]]:
    """Return (piece, log probability) by id; those of ``never`` have one that is never taken."""
    scores = [model.GetScore(index) for index in range(model.GetPieceSize())]
    least = min(scores) - _NEVER
    return [
        (model.IdToPiece(index), least if index in never else score)
        for index, score in enumerate(scores)
    ]


def _normalizers(raw: bytes, rules: Rules, settings: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return :func:`model.tokenization_albert.clean_text` and SentencePiece's own normalization."""
    collapse = [
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    steps = [
        *(collapse if settings["remove_space"] else []),
        {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
        {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
    ]
    if not settings["keep_accents"]:
        steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if settings["do_lower_case"]:
        steps.append({"type": "Lowercase"})
    if replacements := charsmap(raw):
        compiled = base64.b64encode(replacements).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": compiled})
        steps += collapse  # Some odd characters have become spaces.
    elif not settings["remove_space"]:
        steps += collapse
    return steps
