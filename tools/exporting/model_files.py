"""The model's own files in an export: weights, configuration and tokenizer, as transformers takes them."""

from __future__ import annotations

import json
from pathlib import Path

from model.checkpoint import save_model
from model.file_names import TOKENIZER_CONFIG
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenizer import Tokenizer
from model.tokenizer_export import save_tokenizer


def write_model_files(
    model: AlbertForSequenceClassification, tokenizer: Tokenizer, folder: Path
) -> None:
    """Write them to ``folder``, whatever layout the weights came in.

    ``truncation=True`` of transformers cuts texts to the length of the training's inputs, not only to the
    model's positions, and at the end where the training did. It has no way to keep both ends.
    """
    config = model.config
    save_model(model, folder)
    save_tokenizer(tokenizer, folder, config.max_seq_length)
    if config.truncation == "tail":
        file = folder / TOKENIZER_CONFIG
        values = json.loads(file.read_text(encoding="utf-8")) | {"truncation_side": "left"}
        file.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")
