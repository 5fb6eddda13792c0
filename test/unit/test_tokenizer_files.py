"""What a saved tokenizer says, what other tools make of it, and what comes back of that."""

import json
import shutil

import pytest
from helpers import encode, sentences

from callback.checkpointing import save_final
from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from model.tokenization_albert import AlbertTokenizer, clean_text
from model.tokenizer_export import save_tokenizer
from model.vocabulary import Sources, check_vocabulary, find_vocabulary, load_tokenizer
from model.vocabulary_training import train_vocabulary

transformers = pytest.importorskip("transformers")

TEXTS = [text for text, _ in sentences(40)] + ["In 2013, ½ of Café ☃", "", "``a''  2,"]
MASK = b"\x0a\x0a\x0a\x06[MASK]\x18\x03"  # A piece more, of the kind that no text can spell.


def ids_of(folder, texts, **settings):
    """Return transformers' ids by the files of a folder of ours."""
    peer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
    return peer(texts, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, vocabulary):
    """A classifier's folder, as a training leaves it, with a vocabulary that has a mask."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "spiece.model").write_bytes(vocabulary.read_bytes() + MASK)
    tokenizer = AlbertTokenizer(folder / "spiece.model")
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=8, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, max_position_embeddings=24,
    )  # fmt: skip
    config.set_task(("0", "1"), has_pairs=False)
    save_final(folder, build_model(config), tokenizer)
    return folder


@pytest.fixture(scope="module")
def saved_again(tmp_path_factory, trained):
    """The folder as transformers saves it: tokenizer.json, and no spiece.model."""
    folder = tmp_path_factory.mktemp("saved_again")
    transformers.AlbertForSequenceClassification.from_pretrained(trained).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained)
    tokenizer("a", truncation=True, padding="max_length")  # It writes what it last did.
    tokenizer.save_pretrained(folder)
    assert find_vocabulary(folder).name == "tokenizer.json"
    return folder


def test_a_pipeline_cuts_a_long_text(trained):
    classify = transformers.pipeline("text-classification", str(trained))
    assert classify("the film " * 100, truncation=True)[0]["label"] in ("0", "1")
    tokenizer = classify.tokenizer
    assert tokenizer.model_max_length == 24
    assert (tokenizer.mask_token, tokenizer.bos_token, tokenizer.eos_token) == (
        "[MASK]", "[CLS]", "[SEP]",
    )  # fmt: skip
    film = tokenizer("the film [MASK]", split_special_tokens=False)["input_ids"]
    assert film[-2:] == [tokenizer.mask_token_id, 3]  # It takes the space before it.


def test_a_folder_that_transformers_saved_again_is_read(trained, saved_again, tmp_path):
    own, tokenizer = AlbertTokenizer(trained / "spiece.model"), load_tokenizer(
        saved_again / "tokenizer.json"
    )  # fmt: skip
    texts = [*TEXTS, "a [CLS] and <pad> film"]
    assert encode(tokenizer, texts) == encode(own, texts) == ids_of(saved_again, texts)
    assert (tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.unk_id) == (2, 3, 0, 1)
    assert tokenizer.vocab_size == own.vocab_size
    # The configuration still says which vocabulary it is; transformers keeps that.
    config = AlbertConfig.from_file(saved_again)
    check_vocabulary(config, tokenizer, Sources(saved_again / "config.json"))
    values = json.loads((saved_again / "tokenizer.json").read_text())
    shutil.copy(saved_again / "tokenizer_config.json", tmp_path)
    for name in ("vocab", "the rules before it"):
        other = json.loads(json.dumps(values))
        if name == "vocab":
            other["model"]["vocab"][9][1] -= 1.0
        else:
            other["normalizer"] = None
        (tmp_path / "tokenizer.json").write_text(json.dumps(other))
        changed = load_tokenizer(tmp_path / "tokenizer.json")
        if name == "vocab":
            with pytest.raises(ValueError, match="is not the vocabulary that .*tokenizer_json_sha"):
                check_vocabulary(config, changed, Sources(saved_again / "config.json"))
        else:  # Other releases of transformers may write them in another way.
            check_vocabulary(config, changed, Sources(saved_again / "config.json"))
            assert encode(changed, ["Café"]) != encode(tokenizer, ["Café"])


def test_it_is_trained_and_saved_with_the_file_that_it_came_with(
    program, saved_again, sst2, tmp_path
):
    flags = ("--data_dir", sst2, "--output_dir=out", "--do_train", "--max_steps=1")
    words = ("--model_name_or_path", saved_again, "--max_seq_length=24", "--do_lower_case")
    assert program(*flags, *words) == 0
    out = tmp_path / "out"
    assert (out / "tokenizer.json").read_bytes() == (saved_again / "tokenizer.json").read_bytes()
    assert not (out / "spiece.model").exists()
    assert ids_of(out, TEXTS) == ids_of(saved_again, TEXTS)
    config = json.loads((out / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 24
    config = AlbertConfig.from_file(out)
    assert (
        not config.is_of_huggingface
    )  # Its own key says so, though there is no vocabulary_sha256.
    check_vocabulary(config, load_tokenizer(out / "tokenizer.json"), Sources(out))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": None}, "tokenizer.json is no tokenizer: it has no model"),
        ({"model": {"type": "Other"}}, "is no tokenizer that the installed tokenizers [0-9]"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}, "has no <pad>"),
    ],
)
def test_what_is_no_tokenizer_is_named(saved_again, tmp_path, change, words):
    values = json.loads((saved_again / "tokenizer.json").read_text())
    values |= {"added_tokens": [], "post_processor": None, **change}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    if "has no" in words and "model" not in words:
        names = {"cls_token": "a", "sep_token": {"content": "a"}}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    with pytest.raises(ValueError, match=words):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_tokenizer_json_has_its_own_case(saved_again):
    with pytest.raises(ValueError, match="lower-cases a text by its own rules: leave --no_do_lo"):
        load_tokenizer(saved_again / "tokenizer.json", do_lower_case=False)


def test_the_configuration_beside_a_vocabulary_counts_and_is_written_back(vocabulary, tmp_path):
    corpus = ["a fine Café, naïve and cold", "é ï ü É  e i u"] * 30
    path = tmp_path / "spiece.model"
    path.write_bytes(train_vocabulary(corpus, 60, hard_vocab_limit=False))
    for config in (
        {"do_lower_case": True, "keep_accents": True, "remove_space": True},
        {"do_lower_case": False, "keep_accents": True, "remove_space": False},
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        tokenizer = load_tokenizer(path)
        assert "é" in "".join(tokenizer.tokenize("Café"))
        folder = tmp_path / str(config["do_lower_case"])
        folder.mkdir()
        save_tokenizer(tokenizer, folder)
        assert load_tokenizer(folder / "spiece.model").settings == config
        (folder / "config.json").write_text('{"model_type": "albert"}')
        texts = [*corpus[:2], "Naïve É  café", *TEXTS]
        assert ids_of(folder, texts) == encode(tokenizer, texts)
    assert clean_text(" Café  É", keep_accents=True, remove_space=False) == " café  é"
    (tmp_path / "tokenizer_config.json").write_text('{"keep_accents": 1}')
    with pytest.raises(ValueError, match="tokenizer_config.json: keep_accents is 1, not true or"):
        load_tokenizer(path)


KINDS = {
    "bytes": ({"byte_fallback": True, "size": 380}, None),
    "no prefix": ({"add_dummy_prefix": False}, "no space before it, and pieces end in digit"),
    "no prefix, no 2,": ({"add_dummy_prefix": False, "user_defined_symbols": [","]}, None),
    "bpe": ({"model_type": "bpe"}, "its pieces are of the kind bpe, not unigram"),
    "suffix": ({"treat_whitespace_as_suffix": True}, 'a word ends with "▁"'),
    "spaces": ({"remove_extra_whitespaces": False}, "several spaces stay"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_json_has_the_same_ids_or_is_not_written(tmp_path, caplog, kind):
    options, reason = KINDS[kind]
    options = {"size": 120, "hard_vocab_limit": False, "split_by_number": False} | options
    corpus = [*TEXTS, "in 2013, and 12, or 2, as of 2, 3, and 42, 2013,", "a b c d e f g"] * 20
    path = tmp_path / "spiece.model"
    path.write_bytes(train_vocabulary(corpus, options.pop("size"), **options))
    tokenizer = load_tokenizer(path)
    save_tokenizer(tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.json").exists() == (reason is None)
    if reason:
        assert reason in caplog.text
        assert tokenizer.json_digest is None
    else:
        (tmp_path / "config.json").write_text('{"model_type": "albert"}')
        texts = [*TEXTS, "☃ 你 é", "a  b"]
        assert ids_of(tmp_path, texts) == encode(tokenizer, texts)
