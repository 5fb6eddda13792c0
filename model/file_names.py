"""The names of the files of a model's folder. Needs nothing but Python."""

from __future__ import annotations

CONFIG_NAME = "config.json"
# Of each the first that is there is read: Hugging Face's, or albert_pytorch's.
VOCABULARY_NAMES = ("spiece.model", "30k-clean.model")
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
INDEX_NAMES = tuple(f"{name}.index.json" for name in WEIGHTS_NAMES)  # of weights in several files
