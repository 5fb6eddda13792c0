"""A configuration or a vocabulary that no ALBERT can have is refused: file, key and value are named."""

import json
import re
import shutil
from dataclasses import fields

import pytest

from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from model.machine_memory import machine_memory
from model.sentencepiece_file import charsmap
from model.tokenization_albert import AlbertTokenizer

TINY = {
    "vocab_size": 12, "embedding_size": 4, "hidden_size": 6, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 9,
}  # fmt: skip

# By name: a config.json, and the words that say what is wrong with it.
CONFIGURATIONS = {
    "layers": ('{"num_hidden_layers": 1000000000}', "num_hidden_layers is 1000000000, but 1000 is"),
    "groups": ('{"num_hidden_layers": 900, "inner_group_num": 900}', "900 × inner_group_num 900 are more"),
    "classes": ('{"num_labels": 1000000000}', "num_labels is 1000000000, but 100000 is the most"),
    "memory": ('{"hidden_size": 12000000}', r"take [\d,]+ GiB, and this machine has .*hidden_size 12"),
    "vocabulary": ('{"vocab_size": 2000000000, "embedding_size": 128}', "take 9[0-9]{2} GiB, and"),
    "infinite": ('{"layer_norm_eps": 1e400}', "'layer_norm_eps' is inf, which is no finite number"),
    "infinite inside": ('{"vocab_size": 9, "x": [[{"y": -1e400}]]}', "'x' is -inf, which is no finite"),
    "nan": ('{"initializer_range": NaN}', "'initializer_range' is nan, which is no finite number"),
    "long": (f'{{"vocab_size": {"1" * 5000}}}', "is no ALBERT configuration: "),
    "negative": ('{"hidden_size": -768}', "hidden_size is -768, not a whole number above 0"),
    "float": ('{"hidden_size": 768.0}', "hidden_size is 768.0, not a whole number above 0"),
    "text": ('{"vocab_size": "30000"}', "vocab_size is '30000', not a whole number above 0"),
    "bool": ('{"num_hidden_layers": true}', "num_hidden_layers is True, not a whole number above 0"),
    "no dropout": ('{"hidden_dropout_prob": false}', r"hidden_dropout_prob is False, not a number in"),
    "range": ('{"initializer_range": 1e30}', r"initializer_range is 1e\+30, not a number from 0 to 1"),
    "activation": ('{"hidden_act": ["gelu"]}', r"hidden_act is \['gelu'\], not one of gelu, gelu_new"),
    "list": ('{"id2label": ["no", "yes"]}', r"id2label is \['no', 'yes'\], not a map as"),
    "names": ('{"id2label": {"no": 0, "yes": 1}}', "id2label has the key 'no', not the number of a class"),
    "same name": ('{"id2label": {"0": "no", "1": "no"}}', "id2label has the class 1, 'no', twice"),
    "gap": ('{"id2label": {"0": "no", "2": "yes"}}', r"id2label names the classes \[0, 2\], not 0 to 1"),
    "gap and number": (
        '{"num_labels": 2, "id2label": {"0": "no", "2": "yes"}}', "num_labels is 2, but id2label names",
    ),
    "last dropout": ('{"classifier_dropout_prob": 1.5}', "n: classifier_dropout_prob is 1.5, not"),
    "first dropout": ('{"hidden_dropout_prob": 1.5}', "n: hidden_dropout_prob is 1.5, not"),
    "contradiction": ('{"num_labels": 3, "id2label": {"0": "a", "1": "b"}}', "num_labels is 3, but"),
    "name": ('{"id2label": {"0": ["no"]}}', r"id2label calls the class 0 \['no'\], which is no name"),
    "twice": ('{"hidden_size": 768, "hidden_size": 1024}', "'hidden_size' stands there twice, as 768"),
    "deep": ('{"vocab_size": 9, "x": ' + "[" * 200 + "]" * 200 + "}", "it is nested too deep"),
    "very deep": ("[" * 200000, "it is nested too deep"),
    "surrogate": (r'{"vocab_size": 9, "x": "\ud800"}', "which is no valid text"),
    "nothing": ("{}", "it has none of ALBERT's keys"),
    "tokenizer's": ('{"do_lower_case": true}', "it has none of ALBERT's keys"),
    "number": ("3", "it holds no JSON object; mend it, or copy or download it again"),
    "cut off": ('{"hidden_size": 76', "it is not JSON: .*; mend it, or copy or download it again"),
    "python": ("{'hidden_size': 768}", "it is not JSON"),
    "bert": ('{"model_type": "bert"}', "its model_type is 'bert', not 'albert'"),
}  # fmt: skip


def whole(text):
    """Return the text of a config.json with what it lacks of the sizes, if it is one of a model."""
    sizes = [f'"{key}": {value}' for key, value in TINY.items() if f'"{key}"' not in text]
    is_models = text.startswith("{") and any(
        f'"{field.name}"' in text for field in fields(AlbertConfig)
    )
    return text.replace("{", "{" + ", ".join(sizes) + ", ", 1) if is_models else text


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_configuration_that_no_albert_can_have_is_named_with_key_and_value(tmp_path, kind):
    text, words = CONFIGURATIONS[kind]
    (tmp_path / "config.json").write_text(whole(text))
    with pytest.raises(
        ValueError, match=f"{re.escape(str(tmp_path))}/config.json .*{words}"
    ) as caught:
        AlbertConfig.from_file(tmp_path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("utf-16", "is UTF-16, not UTF-8: iconv -f UTF-16 -t UTF-8"), ("utf-32", "is UTF-32"),
     ("utf-16-be", "is UTF-16"), ("gb18030", "it is not UTF-8")],
)  # fmt: skip
def test_a_configuration_in_another_encoding_is_named(tmp_path, encoding, words):
    text = json.dumps(
        {"hidden_size": 768, "id2label": {"0": "差评", "1": "好评"}}, ensure_ascii=False
    )
    (tmp_path / "config.json").write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=f"config.json {words}|config.json is no .*{words}"):
        AlbertConfig.from_file(tmp_path)


@pytest.mark.parametrize("key", sorted(TINY.keys() - {"max_position_embeddings"}))
def test_a_size_that_the_file_does_not_say_is_named(tmp_path, key):
    """It would be a guess: transformers has another, and shared layers have the same weights."""
    values = {name: value for name, value in TINY.items() if name != key}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=f"config.json is no ALBERT .*: it has no {key}: copy or"):
        AlbertConfig.from_file(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + whole('{"hidden_size": 24}').encode())
    assert AlbertConfig.from_file(tmp_path).hidden_size == 24


def test_what_training_sets_itself_is_no_fault(tmp_path):
    values = {"pad_token_id": None, "problem_type": "token_classification"}
    (tmp_path / "config.json").write_text(whole(json.dumps(values)))
    config = AlbertConfig.from_file(tmp_path)
    assert config.pad_token_id == 0
    config.set_task(("a", "b"))
    assert config.problem_type == "single_label_classification"
    with pytest.raises(
        ValueError,
        match="config.json: problem_type is 'token.*: train the model with --do_train",
    ):
        AlbertConfig.from_file(tmp_path, is_scored=True)


def test_the_weights_are_counted_right():
    for changes in ({}, {"num_hidden_groups": 2, "inner_group_num": 3, "num_labels": 5}):
        config = AlbertConfig(**{**TINY, **changes})
        assert config.weight_count == sum(p.numel() for p in build_model(config).parameters())


def test_a_machines_memory_is_known():
    assert 2**28 < machine_memory() < 2**50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"do_lower_case": "false"}', "do_lower_case is 'false', not true or false"),
        ('{"do_lower_case": 0}', "do_lower_case is 0, not true or false"),
        ('{"do_lower_case": null}', "do_lower_case is None, not true or false"),
        ('["do_lower_case"]', "it holds no JSON object"),
        ('{"do_lower_case": true, "do_lower_case": false}', "stands there twice"),
        ("{", "it is not JSON"),
    ],
)
def test_a_tokenizers_configuration_that_is_wrong_is_named(tmp_path, vocabulary, text, words):
    shutil.copy(vocabulary, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(ValueError, match=f"tokenizer_config.json.*{words}"):
        AlbertTokenizer(tmp_path / "spiece.model")
    (tmp_path / "tokenizer_config.json").write_bytes(b'\xef\xbb\xbf{"do_lower_case": false}')
    assert not AlbertTokenizer(tmp_path / "spiece.model").do_lower_case


def test_a_vocabulary_of_another_kind_is_named(tmp_path, vocabulary, pretrained):
    raw = vocabulary.read_bytes()
    contents = {
        "cut off": raw[: len(raw) // 2],
        "another proto": b"\x0a\x05model\x12\x03abc",
        "weights": (pretrained / "model.safetensors").read_bytes(),
        "rules that lead nowhere": break_rules(raw),
        "a zero byte": raw.replace(b"[SEP]", b"\0SEP]"),
    }
    for what, content in contents.items():
        (tmp_path / "spiece.model").write_bytes(content)
        with pytest.raises(ValueError, match="spiece.model is no SentencePiece model") as caught:
            AlbertTokenizer(tmp_path / "spiece.model")
        assert "sentencepiece_processor.cc" not in str(caught.value), what
    (tmp_path / "spiece.model").write_bytes(raw.replace(b"[CLS]", b"[KLS]"))
    with pytest.raises(
        ValueError, match=r"spiece.model has no \[CLS\]: it is no ALBERT vocabulary; give"
    ):
        AlbertTokenizer(tmp_path / "spiece.model")


def break_rules(raw):
    """Return a vocabulary whose normalization rules lead outside themselves."""
    at = raw.index(charsmap(raw)) + 4  # the first unit of the trie
    return raw[:at] + b"\xff\xfd\xff\x7f" + raw[at + 4 :]
