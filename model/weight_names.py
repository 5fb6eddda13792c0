"""What weights are called: Hugging Face's names, albert_pytorch's, and how a file's become the former."""

from __future__ import annotations

import re
from collections.abc import Iterable

# albert_pytorch's names within a layer stand for Hugging Face's.
_LAYER_KEYS = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense",
    "LayerNorm": "attention.LayerNorm",
    "LayerNorm_1": "full_layer_layer_norm",
    "ffn.intermediate.dense": "ffn",
    "ffn.intermediate.output.dense": "ffn_output",
}
_LAYER_KEYS_BACK = {ours: theirs for theirs, ours in _LAYER_KEYS.items()}
_THEIR_LAYER = re.compile(
    r"bert\.encoder\.transformer\.group\.(\d+)\.inner_group\.(\d+)\.(.+)\.(\w+)"
)
_OUR_LAYER = re.compile(
    r"albert\.encoder\.albert_layer_groups\.(\d+)\.albert_layers\.(\d+)\.(.+)\.(\w+)"
)


def huggingface_key(key: str) -> str:
    """Return Hugging Face's name of a weight that albert_pytorch calls ``key``."""
    if match := _THEIR_LAYER.fullmatch(key):
        group, layer, name, kind = match.groups()
        name = _LAYER_KEYS.get(name, name)
        return f"albert.encoder.albert_layer_groups.{group}.albert_layers.{layer}.{name}.{kind}"
    return re.sub(r"^bert\.", "albert.", key).replace("albert.pooler.dense.", "albert.pooler.")


def albert_pytorch_key(key: str) -> str:
    """Return albert_pytorch's name of a weight that Hugging Face calls ``key``."""
    if match := _OUR_LAYER.fullmatch(key):
        group, layer, name, kind = match.groups()
        name = _LAYER_KEYS_BACK[name]
        return f"bert.encoder.transformer.group.{group}.inner_group.{layer}.{name}.{kind}"
    return re.sub(r"^albert\.", "bert.", key).replace("bert.pooler.", "bert.pooler.dense.")


# Wrappers that a model may have been saved with: DistributedDataParallel, torch.compile, Lightning.
_WRAPPERS = ("module.", "_orig_mod.", "model.")
# What an encoder that was saved alone calls its parts, and the prefix that each layout has for them.
_ALONE = ("embeddings.", "encoder.", "pooler.")
_ALONE_PREFIXES = {
    "encoder.albert_layer_groups.": "albert.",
    "encoder.transformer.group.": "bert.",
}
# Other networks, by the names of their weights.
_OTHERS = {
    r"(bert\.)?encoder\.layer\.\d+\.": "BERT's",
    r"(xlm-)?roberta\.": "RoBERTa's",
    r"(distilbert\.)?transformer\.layer\.\d+\.(attention|ffn|q_lin)": "DistilBERT's",
    r"electra\.|discriminator_predictions\.": "ELECTRA's",
    r"deberta\.": "DeBERTa's",
    r"transformer\.word_embedding|transformer\.mask_emb": "XLNet's",
    r"(transformer\.)?h\.\d+\.": "GPT's",
    r"(encoder|decoder)\.block\.\d+\.": "T5's",
    r"(model\.)?layers\.\d+\.": "a language model's with a decoder alone",
    r"(text_|vision_)?model\.(encoder|decoder)\.layers\.": "an encoder-decoder's",
    r"base_model\.model\..*lora_": "an adapter's (LoRA), not a whole model's",
}


def name_weights(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the layout of a state with these names, and each in Hugging Face's layout by its own.

    A prefix of a wrapper is taken off, and that of an encoder saved alone is put on.

    Raises:
        ValueError: they are not ALBERT's; says whose they are, if that is known.
    """
    full = {name: name for name in names}
    for wrapper in _WRAPPERS:
        if full and all(name.startswith(wrapper) for name in full.values()):
            full = {name: inner.removeprefix(wrapper) for name, inner in full.items()}
    for start, prefix in _ALONE_PREFIXES.items():
        if any(name.startswith(start) for name in full.values()):
            full = {
                name: prefix + inner if inner.startswith(_ALONE) else inner
                for name, inner in full.items()
            }
    if any(name.startswith("albert.") for name in full.values()):
        layout = "huggingface"
    elif any(name.startswith("bert.encoder.transformer.group.") for name in full.values()):
        layout = "albert_pytorch"
        full = {name: huggingface_key(inner) for name, inner in full.items()}
    else:
        raise ValueError(_whose(list(full.values())))
    if len(set(full.values())) < len(full):
        seen: set[str] = set()
        twice = next(name for name in full.values() if name in seen or seen.add(name))
        raise ValueError(f"two of its weights are {shown_name(twice)}")
    return layout, full


def shown_name(name: str) -> str:
    """Return a weight's name as a message has it: on one line, and not too long."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= 120 else text[:117] + "…"


def _whose(names: list[str]) -> str:
    for pattern, whose in _OTHERS.items():
        if found := next((name for name in names if re.match(pattern, name)), None):
            return f"these weights are {whose} ({shown_name(found)}), not ALBERT's"
    if not names:
        return "there is no weight in it"
    return (
        f"it holds no ALBERT: its first weight is {shown_name(names[0])!r}, not albert.* or "
        "bert.encoder.transformer.*"
    )
