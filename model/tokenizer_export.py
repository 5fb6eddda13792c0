"""The vocabulary as Hugging Face's tokenizers library reads it, with the same ids as ours.

transformers builds another tokenizer from ``spiece.model`` alone (it splits the text at white space
first and so loses "▁" before punctuation). A ``tokenizer.json`` with every rule spelled out does not
leave it that choice.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from model.sentencepiece_file import charsmap
from model.tokenization_albert import (
    SPACE,
    TOKENIZER_CONFIG,
    VOCABULARY_NAMES,
    AlbertTokenizer,
)

TOKENIZER_FILES = (VOCABULARY_NAMES[0], TOKENIZER_CONFIG, "tokenizer.json")
# This far below every other score, a piece is in the vocabulary but no segmentation takes it.
_NEVER = 1000.0


def save_tokenizer(tokenizer: AlbertTokenizer, folder: str | Path) -> None:
    """Write :data:`TOKENIZER_FILES`: the vocabulary, and what transformers' ``AutoTokenizer`` needs."""
    (Path(folder) / VOCABULARY_NAMES[0]).write_bytes(tokenizer.vocabulary_bytes)
    model = tokenizer.sentencepiece
    special = [i for i in range(model.GetPieceSize()) if model.IsControl(i) or model.IsUnknown(i)]
    names = [model.IdToPiece(index) for index in special]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, name in zip(special, names, strict=True)
        ],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(tokenizer)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _pre_tokenizers(names)},
        "post_processor": _template(tokenizer),
        "decoder": _metaspace(),
        "model": {
            "type": "Unigram",
            "unk_id": tokenizer.unk_id,
            "byte_fallback": False,
            "vocab": _scored_pieces(tokenizer),
        },
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": tokenizer.do_lower_case,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "split_special_tokens": True,  # Text that looks like a special token is none.
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    for name, values in zip(TOKENIZER_FILES[1:], (config, content), strict=True):
        text = json.dumps(values, ensure_ascii=False)
        (Path(folder) / name).write_text(text + "\n", encoding="utf-8")


def _scored_pieces(tokenizer: AlbertTokenizer) -> list[tuple[str, float]]:
    """Return (piece, log probability) by id; pieces that end in digit + comma are never taken."""
    model = tokenizer.sentencepiece
    scores = [model.GetScore(index) for index in range(model.GetPieceSize())]
    never = min(scores) - _NEVER
    return [
        (model.IdToPiece(index), never if index in tokenizer.resplit else score)
        for index, score in enumerate(scores)
    ]


def _normalizers(tokenizer: AlbertTokenizer) -> list[dict]:
    """Return :func:`model.tokenization_albert.clean_text` and SentencePiece's own normalization."""
    collapse = [
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    steps = [
        *collapse,
        {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
        {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
        {"type": "NFKD"},
        {"type": "StripAccents"},
    ]
    if tokenizer.do_lower_case:
        steps.append({"type": "Lowercase"})
    rules = charsmap(tokenizer.vocabulary_bytes)
    if rules:
        steps.append(
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(rules).decode()}
        )
        steps += collapse  # The rules turn some odd characters into spaces.
    return steps


def _pre_tokenizers(special: list[str]) -> list[dict]:
    """Return the steps that mark spaces and keep the spelling of a special token apart."""
    spellings = "|".join(f"{re.escape(n[0])}(?={re.escape(n[1:])})" for n in special)
    split = {"type": "Split", "pattern": {"Regex": spellings}, "behavior": "MergedWithPrevious"}
    return [_metaspace(), {**split, "invert": False}]


def _metaspace() -> dict:
    return {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": "always",
        "split": False,
    }


def _template(tokenizer: AlbertTokenizer) -> dict:
    """Return ``[CLS] a [SEP]`` and ``[CLS] a [SEP] b [SEP]`` with their token types."""

    def token(name: str, type_id: int) -> dict:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)]
    ids = {"[CLS]": tokenizer.cls_id, "[SEP]": tokenizer.sep_id}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, text("B", 1), token("[SEP]", 1)],
        "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in ids.items()},
    }
