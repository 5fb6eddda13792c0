"""The names of the files of a model's folder. Needs nothing but Python."""

from __future__ import annotations

CONFIG_NAME = "config.json"
# Of each the first that is there is read: Hugging Face's, or albert_pytorch's.
SENTENCEPIECE_NAMES = ("spiece.model", "30k-clean.model")
WORDPIECE_NAME = "vocab.txt"
TOKENIZER_JSON = "tokenizer.json"
VOCABULARY_NAMES = (*SENTENCEPIECE_NAMES, WORDPIECE_NAME, TOKENIZER_JSON)
TOKENIZER_CONFIG = "tokenizer_config.json"
# What a tokenizer may be saved as: each has some of these.
TOKENIZER_FILES = (SENTENCEPIECE_NAMES[0], WORDPIECE_NAME, TOKENIZER_JSON, TOKENIZER_CONFIG)
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
INDEX_NAMES = tuple(f"{name}.index.json" for name in WEIGHTS_NAMES)  # of weights in several files
