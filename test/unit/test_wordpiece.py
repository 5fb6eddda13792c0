"""Chinese ALBERTs: a list of words (vocab.txt) by BERT's rules, and LCQMC as albert_pytorch trains it."""

import csv
import importlib.util
import json
import os
import random
from pathlib import Path

import pytest
import torch
from helpers import encode, records

from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from model.tokenization_wordpiece import WordPieceTokenizer
from model.tokenizer_export import save_tokenizer
from model.vocabulary import find_vocabulary, load_tokenizer
from processors.glue import TASKS
from tools import predict

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)),
    *"甲乙你好吗很，。!?,.[]<>-'σς\U0002b830",
    *("##σ", "##ς", "film", "##ing", "é", "A", "\u2028"),
]
# Of a script of albert_pytorch, with a smaller model, length and batch, and fewer steps.
LCQMC = (
    "--model_type=albert --model_name_or_path={model} --task_name=lcqmc --do_train --do_eval "
    "--do_lower_case --data_dir={data}/ --vocab_file={model}/vocab.txt --max_seq_length=32 "
    "--per_gpu_train_batch_size=16 --per_gpu_eval_batch_size=16 --learning_rate=1e-5 "
    "--num_train_epochs=3.0 --logging_steps=14923 --save_steps=14923 "
    "--output_dir=outputs/lcqmc_output/ --overwrite_output_dir --max_steps=2"
)


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chinese(tmp_path_factory, vocab):
    """A Chinese ALBERT's folder as albert_pytorch describes it: config.json, weights, vocab.txt."""
    folder = tmp_path_factory.mktemp("albert_zh")
    config = AlbertConfig(
        vocab_size=len(WORDS), embedding_size=8, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(build_model(config), folder, with_classifier=False)
    (folder / "vocab.txt").write_bytes(vocab.read_bytes())
    return folder


def pieces(tokenizer, text):
    return [WORDS[index] for index in encode(tokenizer, [text])[0]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Filming你好!", ["film", "##ing", "你", "好", "!"]),
        ("café É", ["c", "##a", "##f", "##e", "e"]),
        ("A\u0301", ["a"]),
        ("ΑΣ", ["[UNK]"]),
        ("Σ ΣΣ", ["σ", "σ", "##ς"]),  # A sigma that ends a word; a lone one ends none.
        ("a\u200bb\0c\ufffdd\x1fe", ["a", "##b", "##c", "##d", "##e"]),
        ("a\u00a0b\u3000\u2028c", ["a", "b", "c"]),
        ("[CLS]", ["[", "c", "##l", "##s", "]"]),
        ("\U0002b830吗", ["\U0002b830", "吗"]),
        (f"{'x' * 100} {'x' * 101}", ["x", *["##x"] * 99, "[UNK]"]),
        ("a#", ["a", "[UNK]"]),
        ("", []),
    ],
)
def test_pieces_are_those_of_berts_rules(vocab, text, wanted):
    assert pieces(WordPieceTokenizer(vocab), text) == wanted


def test_the_configuration_beside_it_counts(vocab, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(vocab.read_bytes().replace(b"\n", b"\r\n"))
    config = {"do_lower_case": False, "strip_accents": None, "tokenize_chinese_chars": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")
    assert pieces(tokenizer, "A é a 你好") == ["A", "é", "a", "[UNK]"]
    assert pieces(load_tokenizer(tmp_path / "vocab.txt", True), "A é") == ["a", "e"]
    assert tokenizer.digest == load_tokenizer(vocab).digest  # The ends of lines are no words.
    save_tokenizer(tokenizer, tmp_path)
    assert load_tokenizer(tmp_path / "vocab.txt").settings == config
    (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": "no"}')
    with pytest.raises(ValueError, match="strip_accents is 'no', not true or false"):
        load_tokenizer(tmp_path / "vocab.txt")


def odd_texts(count):
    chance = random.Random(1)
    alphabet = list("abcfilmng 0123甲乙你好，。!?,.[]<>-'ΣσéÉİßA\t\u00a0\u3000\u200b\u0301\x1f")
    alphabet += ["[CLS]", "filming", "the ", "x" * 101]
    return ["".join(chance.choices(alphabet, k=chance.randrange(20))) for _ in range(count)]


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_the_saved_tokenizer_gives_transformers_the_same_ids(vocab, tmp_path, do_lower_case):
    transformers = pytest.importorskip("transformers")
    tokenizer = WordPieceTokenizer(vocab, do_lower_case)
    save_tokenizer(tokenizer, tmp_path, 64)
    (tmp_path / "config.json").write_text('{"model_type": "albert"}')
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    # Of a sigma at the end of a word the library's tables do not know.
    texts = [text.replace("Σ", "σ") for text in odd_texts(500)]
    assert peer(texts, add_special_tokens=False)["input_ids"] == encode(tokenizer, texts)
    assert peer("甲", "乙")["input_ids"] == [2, WORDS.index("甲"), 3, WORDS.index("乙"), 3]
    assert (peer.mask_token_id, peer.pad_token_id, peer.unk_token_id) == (4, 0, 1)
    assert peer.model_max_length == 64


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_ids_equal_the_references(vocab, do_lower_case):
    source = os.environ.get("ALBERT_PYTORCH_SOURCE")
    if not source:
        pytest.skip("ALBERT_PYTORCH_SOURCE names no checkout of albert_pytorch at 46de9ec")
    pytest.importorskip("six")
    file = Path(source) / "model" / "tokenization_albert.py"
    spec = importlib.util.spec_from_file_location("reference_tokenization", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    peer = module.FullTokenizer(str(vocab), do_lower_case=do_lower_case)
    texts = odd_texts(3000) + [f"a{chr(code)}b" for code in range(0x30000) if code >> 11 != 27]
    wanted = [peer.convert_tokens_to_ids(peer.tokenize(text)) for text in texts]
    assert encode(WordPieceTokenizer(vocab, do_lower_case), texts) == wanted


def test_lcqmc_as_in_the_references(program, chinese, tmp_path, capsys, caplog, monkeypatch):
    data, out = tmp_path / "dataset" / "lcqmc", tmp_path / "outputs" / "lcqmc_output"
    data.mkdir(parents=True)
    for split, count in (("train", 32), ("dev", 8)):
        rows = [f"甲你{'好吗'[i % 2]}\t乙很好，\t{i % 2}" for i in range(count)]
        (data / f"{split}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    out.mkdir(parents=True)
    (out / "spiece.model").write_bytes(b"what another run left")
    assert program(*LCQMC.format(model=chinese, data=data).split()) == 0
    assert len(records(out, "step")) == 2
    assert "unknown to the vocabulary" not in capsys.readouterr().out
    assert find_vocabulary(out).read_bytes() == (chinese / "vocab.txt").read_bytes()
    values = json.loads((out / "config.json").read_text())
    assert values["vocabulary_sha256"] == load_tokenizer(out / "vocab.txt").digest
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert predict.main(["--model", str(out), "--device=cpu", "甲好\t乙好"]) == 0
    # The headed files of today come first.
    (data / "dev.tsv").write_text("text_a\ttext_b\tlabel\n")
    assert [path.name for path in TASKS["lcqmc"].paths(data, "dev")] == ["dev.tsv"]


def test_a_table_is_asked_about_in_windows(chinese, ask, tmp_path):
    config, tokenizer = AlbertConfig.from_file(chinese), load_tokenizer(chinese / "vocab.txt")
    config.set_task(None, False)
    config.set_text_columns(["text"])
    config.initializer_range = 0.5
    torch.manual_seed(3)
    model = build_model(config).eval()
    save_model(model, tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    text = "甲乙你好吗很，filming。" * 2
    (tmp_path / "new.csv").write_text(f"n,text\n1,{text}\n2,\n", encoding="utf-8")
    words = ("--windows", "--max_seq_length=12", "--file=new.csv", "--output=scored.csv")
    status, _, _ = ask(tmp_path / "model", *words, shows=False)
    assert status == 0
    (ids,) = encode(tokenizer, [text])
    assert len(ids) == 20
    with torch.no_grad():
        rows = torch.tensor([[2, *ids[start : start + 10], 3] for start in (0, 5, 10)])
        score = model(rows).logits.mean().item()
    with (tmp_path / "scored.csv").open(encoding="utf-8") as file:
        full, empty = csv.DictReader(file)
    assert (full["text"], empty["text"], empty["score"]) == (text, "", "")
    assert float(full["score"]) == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[PAD]\n[UNK]\n[CLS]\n", r"vocab.txt has no \[SEP\]: it is no WordPiece vocabulary"),
        (b"a\n", r"vocab.txt has no \[PAD\]"),
        (b"\xff\xfe[\0P\0", "is no list of words: it"),
        (b"[PAD]\n\xe4\xbd\n", "is no list of words: it is not UTF-8: give the vocab.txt"),
        (b"<!DOCTYPE html><html>", "is no list of words: it .*page"),
    ],
)
def test_what_is_no_list_of_words_is_named(tmp_path, content, words):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load_tokenizer(tmp_path / "vocab.txt")
