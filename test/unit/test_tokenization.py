"""Text becomes ids by ALBERT's rules."""

import json
import re
import unicodedata

import numpy as np
import pytest
from helpers import DATA, encode, sentences

from model import tokenization_albert
from model.tokenization_albert import AlbertTokenizer, clean_text
from model.tokenizer_export import save_tokenizer
from model.vocabulary import find_vocabulary
from processors.glue import SPLITS, TASKS
from processors.reading import read_examples


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  two   spaces\tand\ntabs\u00a0 ", "two spaces and tabs"),
        ("``quoted''", '"quoted"'),
        ("Naïve CAFÉ", "naive cafe"),
        ("½ ﬁ", "1⁄2 fi"),
        ("", ""),
    ],
)
def test_cleaning(text, cleaned):
    assert clean_text(text) == cleaned


def test_capitals_stay_where_asked():
    assert clean_text("Café", do_lower_case=False) == "Cafe"


def test_special_tokens_have_their_ids(tokenizer):
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id) == (0, 1, 2, 3)


def test_text_never_becomes_a_special_token(tokenizer):
    ids = encode(tokenizer, ["[CLS] <pad> [SEP]"])[0]
    assert not {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id} & set(ids)


def test_a_piece_that_ends_in_digit_and_comma_is_split(tokenizer):
    resplit = {tokenizer.sentencepiece.IdToPiece(index) for index in tokenizer.resplit}
    assert {"2,", "▁2013,"} <= resplit  # such pieces are in this vocabulary
    assert tokenizer.tokenize("2,") == ["▁2", ","]
    pieces = tokenizer.tokenize("in 2013, films")
    assert not any(len(piece) > 1 and piece.endswith(",") for piece in pieces)


@pytest.mark.parametrize(
    "text", ["2,", "12,2,", "in 2013, a film", "fine 2,☃2, film", "☃", "", " "]
)
def test_ids_are_those_of_the_pieces(tokenizer, text):
    ids = [tokenizer.sentencepiece.PieceToId(piece) for piece in tokenizer.tokenize(text)]
    assert encode(tokenizer, [text]) == [ids]


def test_a_batch_is_its_texts_one_by_one(tokenizer):
    texts = ["2,", "a fine film", "", "2013, ☃", "", "the sea", "☃ 12,2,", "in 2013,", ""]
    one_by_one = [encode(tokenizer, [text])[0] for text in texts]
    assert encode(tokenizer, texts) == one_by_one
    ids, lengths = tokenizer.encode_flat(texts)
    assert ids.tolist() == sum(one_by_one, [])
    assert lengths.tolist() == [len(ids) for ids in one_by_one]
    assert (ids.dtype, lengths.dtype) == (np.int32, np.int64)


def test_no_call_of_sentencepiece_takes_all_texts(tokenizer, monkeypatch):
    """Other threads wait for it, which say that the program is at work."""
    texts = [text for text, _ in sentences(5)]
    ids, lengths = tokenizer.encode_flat(texts)
    calls = []

    class Counted:
        def Encode(self, part, out_type):  # noqa: N802
            calls.append(len(part))
            return sentencepiece.Encode(part, out_type=out_type)

    sentencepiece = tokenizer.sentencepiece
    monkeypatch.setattr(tokenizer, "sentencepiece", Counted())
    monkeypatch.setattr(tokenization_albert, "_TEXTS_A_CALL", 2)
    again, lengths_again = tokenizer.encode_flat(texts)
    assert calls == [2, 2, 1]
    assert (ids.tolist(), lengths.tolist()) == (again.tolist(), lengths_again.tolist())


def test_saving_over_itself_keeps_the_vocabulary(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path)
    save_tokenizer(AlbertTokenizer(tmp_path / "spiece.model"), tmp_path)
    assert find_vocabulary(tmp_path).read_bytes() == tokenizer.vocabulary.read_bytes()


def test_a_bad_vocabulary_is_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="spiece.model"):
        AlbertTokenizer(tmp_path / "spiece.model")
    (tmp_path / "spiece.model").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="is no SentencePiece model"):
        AlbertTokenizer(tmp_path / "spiece.model")


def test_golden_ids(real_data):
    tokenizer = AlbertTokenizer(real_data / "albert_base_v2" / "spiece.model")
    goldens = json.loads((DATA / "tokenization.json").read_text(encoding="utf-8"))
    for golden in goldens:
        assert tokenizer.tokenize(golden["text"]) == golden["pieces"]
        assert encode(tokenizer, [golden["text"]]) == [golden["ids"]]


def by_the_rules(tokenizer, text):
    """Return a text's ids by the rules one after the other, as albert_pytorch's page has them."""
    spm = tokenizer.sentencepiece
    text = re.sub(r"\s+", " ", text.strip())
    text = text.replace("``", '"').replace("''", '"')
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    pieces = []
    for piece in spm.EncodeAsPieces(text.lower()):
        if re.fullmatch(r".*\d,", piece, re.DOTALL):
            again = spm.EncodeAsPieces(piece[:-1].replace("▁", ""))
            if piece[0] != "▁" and again[0][0] == "▁":
                again[0] = again[0][1:]
            pieces += [part for part in again if part] + [","]
        else:
            pieces.append(piece)
    return [spm.PieceToId(piece) for piece in pieces]


def test_ids_equal_the_rules(tokenizer):
    texts = [text for text, _ in sentences(50)]
    texts += [
        "in 2013, and 12,2, as of ½,",
        "12,345,678, films",
        "a\u0301 \u3000 ``b'' \u2028 c",
        "٣,",
    ]
    assert encode(tokenizer, texts) == [by_the_rules(tokenizer, text) for text in texts]


@pytest.mark.parametrize("name", ["sst-2", "sts-b"])
def test_ids_equal_the_rules_on_all_real_texts(real_data, name):
    tokenizer = AlbertTokenizer(real_data / "albert_base_v2" / "spiece.model")
    task = TASKS[name]
    for split in SPLITS:
        (path,) = task.paths(real_data / task.folder, split)
        examples = read_examples(task, path, split)
        texts = [text for text in (*examples.texts_a, *(examples.texts_b or ())) if text]
        assert encode(tokenizer, texts) == [by_the_rules(tokenizer, text) for text in texts]
