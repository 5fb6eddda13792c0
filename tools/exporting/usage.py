"""The lines of a card that show how the folder is used."""

from __future__ import annotations

from collections.abc import Iterator

from model.configuration_albert import AlbertConfig
from tools.exporting.names import NETWORK

_PIPELINE = """```python
from transformers import pipeline

classify = pipeline("text-classification", model="DIR", top_k=None)
print(classify({inputs}, truncation=True))
```"""

# It needs no other package, and nothing of this project.
_ONNX = """```python
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("DIR/tokenizer.json")
tokenizer.enable_truncation({length}{direction})
tokenizer.enable_padding(pad_id={pad_id})
network = onnxruntime.InferenceSession("DIR/{network}")
encoded = tokenizer.encode_batch([{texts}])
(logits,) = network.run(None, {{
    "input_ids": np.array([e.ids for e in encoded], np.int32),
    "attention_mask": np.array([e.attention_mask for e in encoded], bool),
    "token_type_ids": np.array([e.type_ids for e in encoded], np.int32),
}})
```"""


def usage_lines(config: AlbertConfig, has_onnx: bool, has_tokenizer: bool) -> Iterator[str]:
    """Yield how transformers takes the folder and, where it has them, onnxruntime its networks.

    Args:
        has_tokenizer: whether it has a tokenizer.json, as all vocabularies do that the tokenizers library
            can read.
    """
    if not has_tokenizer:
        yield "The tokenizers library cannot do what this vocabulary does, so transformers' pipeline does"
        yield "not take it; albert-pytorch-glue's `python -m tools.predict --model DIR` does."
        return
    one = '{"text": "one text", "text_pair": "another"}' if config.has_pairs else '"a text"'
    yield _PIPELINE.replace("{inputs}", one)
    if has_onnx:
        texts = '("one text", "another")' if config.has_pairs else '"a text", "another, longer one"'
        direction = ', direction="left"' if config.truncation == "tail" else ""
        yield "\nWithout torch, with onnxruntime and tokenizers alone:\n"
        yield _ONNX.format(
            length=config.max_seq_length,
            direction=direction,
            pad_id=config.pad_token_id,
            network=NETWORK,
            texts=texts,
        )
