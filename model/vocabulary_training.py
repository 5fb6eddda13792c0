"""A SentencePiece vocabulary made for sentences of one's own, with ALBERT's special tokens."""

from __future__ import annotations

import io
from typing import Any

import sentencepiece


def train_vocabulary(sentences: list[str], size: int, **options: Any) -> bytes:
    """Train a SentencePiece model of ``size`` pieces with ALBERT's special tokens; returns its file.

    ``options`` are further ones of SentencePiece's trainer.
    """
    vocabulary = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=vocabulary,
        vocab_size=size,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        # They get ids 2 and 3, as in ALBERT; no text can spell them.
        control_symbols=["[CLS]", "[SEP]"],
        num_threads=1,  # The sums of several threads would differ from run to run.
        minloglevel=2,
        **options,
    )
    return vocabulary.getvalue()
