"""transformers' tokenizer, loaded from a folder of ours, gives our ids."""

import random

import pytest
from helpers import encode

from model.tokenization_albert import AlbertTokenizer
from model.tokenizer_export import save_tokenizer
from processors.glue import TASKS
from processors.reading import read_examples

transformers = pytest.importorskip("transformers")


def peer_of(tokenizer, folder):
    save_tokenizer(tokenizer, folder)
    # AutoTokenizer looks at the model's configuration first.
    (folder / "config.json").write_text('{"model_type": "albert"}')
    return transformers.AutoTokenizer.from_pretrained(folder)


def odd_texts(count):
    chance = random.Random(0)
    alphabet = list("abcdefilmnst 0123,.'`[]<>CLSEPpadunk\t\u00a0Äéﬁ½İß☃你\u0301\u2028")
    alphabet += ["[CLS]", "<pad>", "<unk>", "2,", " 2013,", "film", "the "]
    return ["".join(chance.choices(alphabet, k=chance.randrange(20))) for _ in range(count)]


def differing(peer, tokenizer, texts):
    theirs = peer(texts, add_special_tokens=False)["input_ids"]
    return [t for t, a, b in zip(texts, encode(tokenizer, texts), theirs, strict=True) if a != b]


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_ids_of_odd_texts(vocabulary, tmp_path, do_lower_case):
    tokenizer = AlbertTokenizer(vocabulary, do_lower_case)
    texts = odd_texts(2000)
    # Two segmentations of the same score: the libraries need not take the same one.
    assert len(differing(peer_of(tokenizer, tmp_path), tokenizer, texts)) <= 2
    assert AlbertTokenizer(tmp_path / "spiece.model").do_lower_case is do_lower_case


def test_pairs_have_special_tokens_and_types(tokenizer, tmp_path):
    peer = peer_of(tokenizer, tmp_path)
    (a, b), encoded = encode(tokenizer, ["the film", "a sea"]), peer("the film", "a sea")
    assert encoded["input_ids"] == [2, *a, 3, *b, 3]
    assert encoded["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)


def test_ids_of_real_data(real_data, tmp_path):
    tokenizer = AlbertTokenizer(real_data / "albert_base_v2" / "spiece.model")
    peer = peer_of(tokenizer, tmp_path)
    for name in ("sst-2", "sts-b"):
        for split in ("train", "dev", "test"):
            path = real_data / TASKS[name].folder / f"{split}.tsv"
            examples = read_examples(TASKS[name], path, split)
            texts = [*examples.texts_a, *(examples.texts_b or ())]
            assert differing(peer, tokenizer, texts) == []
