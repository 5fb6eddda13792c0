"""What weights are called: Hugging Face's names, albert_pytorch's, and how a file's become the former."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


# An encoder's layers, by which its other parts are found, whatever it is wrapped in.
_LAYERS = re.compile(r"((?:.+\.)?)encoder\.(?:albert_layer_groups|transformer\.group)\.\d+\.")
_PARTS = ("embeddings.", "encoder.", "pooler.")
_OWN_PREFIXES = ("albert.", "bert.")
# Google's words for what torch calls weight and bias, in the files of early converters.
_GOOGLES = {"gamma": "weight", "beta": "bias"}
_GOOGLES_NORM = re.compile(r"(.*(?:LayerNorm|LayerNorm_1|full_layer_layer_norm)\.)(gamma|beta)")
_ADAPTER = re.compile(r".*\blora_\w")
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


class Naming(NamedTuple):
    """What the weights of a file are called.

    Attributes:
        layout: whose names they are, ``huggingface`` or ``albert_pytorch``.
        names: Hugging Face's name of each, by its own.
        renamed: what was changed beside the layout, a phrase for each.
    """

    layout: str
    names: dict[str, str]
    renamed: tuple[str, ...] = ()


def name_weights(names: Iterable[str]) -> Naming:
    """Return what the weights of a state with these names are.

    What a wrapper (DistributedDataParallel, torch.compile, Lightning, a module of one's own) puts before
    the names is taken off, that of an encoder saved alone is put on, and a LayerNorm's gamma and beta
    become weight and bias.

    Raises:
        ValueError: they are not ALBERT's; says whose they are, if that is known. Or they are of two.
    """
    names = list(names)
    if any(map(_ADAPTER.match, names)):
        raise ValueError(_whose(names))
    modern = {name: _without_googles_words(name) for name in names}
    renamed = []
    if any(name != new for name, new in modern.items()):
        renamed.append("gamma and beta to weight and bias")
    found = {match[1]: None for name in names if (match := _LAYERS.match(name))}
    if len(found) > 1:
        first, other = (shown_name(f"{prefix}encoder") for prefix in list(found)[:2])
        raise ValueError(f"it holds more than one ALBERT ({first} and {other}): save one alone")
    prefix = next(iter(found), "albert.")
    outer, own = _split_prefix(prefix)
    full = {name: _without_prefix(inner, prefix) for name, inner in modern.items()}
    if wrapper := outer if own else prefix:
        renamed.append(f"without {shown_name(wrapper)}")
    if any("encoder.transformer.group." in name for name in full.values()):
        layout = "albert_pytorch"
        full = {name: huggingface_key(re.sub("^albert\\.", "bert.", n)) for name, n in full.items()}
    elif any(name.startswith("albert.") for name in full.values()):
        layout = "huggingface"
    else:
        raise ValueError(_whose(names))
    if len(set(full.values())) < len(full):
        seen: set[str] = set()
        twice = next(name for name in full.values() if name in seen or seen.add(name))
        raise ValueError(f"two of its weights are {shown_name(twice)}")
    return Naming(layout, full, tuple(renamed))


def _without_googles_words(name: str) -> str:
    match = _GOOGLES_NORM.fullmatch(name)
    return f"{match[1]}{_GOOGLES[match[2]]}" if match else name


def _split_prefix(prefix: str) -> tuple[str, str]:
    """Return what is around an encoder, and its own prefix (of :data:`_OWN_PREFIXES`, or none)."""
    own = next((own for own in _OWN_PREFIXES if f".{prefix}".endswith(f".{own}")), "")
    if own:
        return prefix.removesuffix(own), own
    return "".join(re.findall(r"[^.]*\.", prefix)[:-1]), ""


def _without_prefix(name: str, prefix: str) -> str:
    """Return a name with ``albert.`` in the place of the encoder's prefix; a head's without a wrapper."""
    outer, own = _split_prefix(prefix)
    inner = name.removeprefix(prefix)
    if name.startswith(prefix):
        return f"albert.{inner}" if own or inner.startswith(_PARTS) else inner
    return name.removeprefix(outer)


def kinds_of(names: Sequence[str]) -> list[str]:
    """Return the parts that weights with these names are of, each once: ``cls``, ``qa_outputs``."""
    parts = (name.split(".") for name in names)
    return list(dict.fromkeys(".".join(p[:2]) if p[0] == "albert" else p[0] for p in parts))


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
