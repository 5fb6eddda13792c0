"""A model that says which vocabulary it was trained with takes no other of the same size."""

import json
import shutil

import pytest

from callback.checkpointing import save_final
from model.checkpoint import build_model, load_model
from model.configuration_albert import AlbertConfig
from model.sentencepiece_file import vocabulary_digest
from model.tokenization_albert import AlbertTokenizer
from model.vocabulary import Sources, check_vocabulary
from tools import predict
from tools.cli.paths import ROOT
from tools.launching.preflight import check_run

WORDS = "is not the vocabulary that"


@pytest.fixture
def trained(pretrained, tokenizer, tmp_path):
    """A classifier's folder, as a training leaves it."""
    config = AlbertConfig.from_file(pretrained)
    config.set_task(("0", "1"), has_pairs=False)
    (tmp_path / "trained").mkdir()
    save_final(tmp_path / "trained", build_model(config), tokenizer)
    return tmp_path / "trained"


@pytest.fixture
def other(vocabulary, tmp_path):
    """A vocabulary with as many pieces, in a folder of its own."""
    (tmp_path / "other").mkdir()
    pieces = AlbertTokenizer(vocabulary).sentencepiece
    longest = max(pieces.IdToPiece(list(range(10, pieces.GetPieceSize()))), key=len).encode()
    turned = longest[:-3] + longest[:-4:-1]
    assert turned != longest
    path = tmp_path / "other" / "spiece.model"
    path.write_bytes(vocabulary.read_bytes().replace(longest, turned))
    assert AlbertTokenizer(path).vocab_size == pieces.GetPieceSize()
    return tmp_path / "other"


def test_a_saved_model_says_which_vocabulary_it_has(trained, vocabulary):
    values = json.loads((trained / "config.json").read_text())
    assert values["vocabulary_sha256"] == vocabulary_digest(vocabulary.read_bytes())
    assert values["vocabulary_size"] == values["vocab_size"]
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AlbertForSequenceClassification.from_pretrained(trained)
    assert theirs.config.vocab_size == values["vocab_size"]


@pytest.mark.parametrize("flag", ["--tokenizer_name=other", "--spm_model_file=other/spiece.model"])
@pytest.mark.parametrize("goal", ["--do_train", "--do_eval", "--do_predict"])
def test_another_vocabulary_is_refused(refused, trained, other, sst2, goal, flag):
    own = ("--data_dir", sst2, "--output_dir=out", "--model_name_or_path", trained)
    line = refused(*own, goal, flag, status=1)
    config = trained / "config.json"
    assert f"other/spiece.model ({flag.split('=')[0]}) {WORDS} {config} was saved with" in line
    assert line.endswith(f"on purpose, take vocabulary_sha256 out of {config}")


def test_a_configuration_of_its_own_is_named(refused, trained, other, pretrained, sst2):
    own = ("--data_dir", sst2, "--output_dir=out", "--model_name_or_path", pretrained, "--do_train")
    config = trained / "config.json"
    line = refused(*own, f"--config_name={config}", f"--vocab_file={other}/spiece.model", status=1)
    assert f"other/spiece.model (--vocab_file) {WORDS} {config} (--config_name) was saved" in line
    assert "was saved with it, or leave --config_name out; or, if it was changed" in line


def test_a_vocabulary_put_in_its_place_is_refused(trained, other, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert predict.main(["--model", str(trained), "--device=cpu", "a film"]) == 0
    shutil.copy(other / "spiece.model", trained)
    assert predict.main(["--model", str(trained), "--device=cpu", "a film"]) == 1
    assert f"{trained}/spiece.model {WORDS} {trained}/config.json was" in capsys.readouterr().err


def test_it_is_found_before_several_processes_start(trained, other, sst2, tmp_path, monkeypatch):
    words = [f"--model_name_or_path={trained}", f"--tokenizer_name={other}", f"--data_dir={sst2}"]
    words += ["--do_train", f"--output_dir={tmp_path / 'out'}", "--max_seq_length=32"]
    program = [str(ROOT / "run_classifier.py"), *words]
    with pytest.raises(ValueError, match=WORDS):
        check_run(program, writes=True, restarts=False)
    del words[1]
    check_run([program[0], *words], writes=True, restarts=False)


def test_a_model_that_does_not_say_takes_any(trained, other, pretrained):
    tokenizer, path = AlbertTokenizer(other / "spiece.model"), trained / "config.json"
    check_vocabulary(AlbertConfig.from_file(pretrained), tokenizer, Sources(path))
    with pytest.raises(ValueError, match=WORDS):
        check_vocabulary(AlbertConfig.from_file(trained), tokenizer, Sources(path))
    rewrite(path, vocabulary_sha256=None)
    config = AlbertConfig.from_file(trained)
    check_vocabulary(config, tokenizer, Sources(path))
    load_model(trained, config)


def test_the_digest_is_written_in_any_case_and_nothing_else_is_taken(trained, other):
    path = trained / "config.json"
    sha256 = json.loads(path.read_text())["vocabulary_sha256"]
    rewrite(path, vocabulary_sha256=sha256.upper())
    check_vocabulary(
        AlbertConfig.from_file(path), AlbertTokenizer(trained / "spiece.model"), Sources(path)
    )
    with pytest.raises(ValueError, match=WORDS):
        check_vocabulary(
            AlbertConfig.from_file(path), AlbertTokenizer(other / "spiece.model"), Sources(path)
        )
    for key, value, words in (
        ("vocabulary_sha256", 3, "is 3, not 64 hexadecimal digits: correct it, or take"),
        ("vocabulary_sha256", "", "is '', not 64"),
        ("vocabulary_sha256", sha256[:-1] + "g", "not 64 hexadecimal digits"),
        ("vocabulary_sha256", sha256 + "\n", "not 64 hexadecimal digits"),
        ("vocabulary_size", "150", "is '150', not a whole number .* take out vocabulary_sha256, "),
        ("vocabulary_size", True, "is True, not a whole number above 0"),
    ):
        values = {"vocabulary_sha256": sha256, "vocabulary_size": 150, key: value}
        rewrite(path, **values)
        with pytest.raises(ValueError, match=words) as caught:
            AlbertConfig.from_file(path)
        assert str(caught.value).startswith(f"{path} is no ALBERT configuration: {key} is ")


def test_an_equal_vocabulary_in_other_bytes_is_the_same(vocabulary, other):
    model = vocabulary.read_bytes()
    same = vocabulary_digest(model)
    # Fields of the message: a description of the training, a self-test, and one that nobody knows.
    for more in (b"\x12\x04\x0a\x02ab", b"\x22\x00", b"\xfa\x7f\x01x"):
        assert vocabulary_digest(more + model) == vocabulary_digest(model + more) == same
    assert vocabulary_digest((other / "spiece.model").read_bytes()) != same
    others = {
        "a piece more": b"\x0a\x03\x0a\x01q",
        "its score": b"\x0a\x08\x0a\x01q\x15\x00\x00\x80\x3f",
        "its type": b"\x0a\x05\x0a\x01q\x18\x04",
        "no space before": b"\x1a\x02\x18\x00",
        "another kind of model": b"\x12\x02\x18\x02",
    }
    assert len({same, *(vocabulary_digest(model + more) for more in others.values())}) == 6
    # What is a default may be written out or not.
    written = b"\x0a\x0a\x0a\x01q\x15\x00\x00\x00\x00\x18\x01"
    assert vocabulary_digest(model + written) == vocabulary_digest(model + others["a piece more"])


def test_an_extended_vocabulary_is_taken(trained, vocabulary):
    """As transformers leaves it: more rows of embeddings, and our keys as they were."""
    path = trained / "config.json"
    size = json.loads(path.read_text())["vocab_size"]
    rewrite(path, vocab_size=size + 1)
    (trained / "spiece.model").write_bytes(vocabulary.read_bytes() + b"\x0a\x08\x0a\x06newone")
    tokenizer = AlbertTokenizer(trained / "spiece.model")
    assert tokenizer.vocab_size == size + 1
    config = AlbertConfig.from_file(trained)
    assert config.vocabulary_sha256 is None
    check_vocabulary(config, tokenizer, Sources(path))
    config.set_vocabulary(tokenizer.digest)
    assert AlbertConfig.from_dict(config.to_dict()).vocabulary_sha256 == tokenizer.digest


def rewrite(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_random_weights_learn_any(program, trained, other, sst2, tmp_path):
    flags = ["--do_train", "--random_init", "--max_steps=1", "--save_steps=1", "--output_dir=out"]
    flags += ["--model_name_or_path", trained, "--tokenizer_name", other, "--data_dir", sst2]
    assert program(*flags) == 0
    for folder in ("out", "out/checkpoint-1"):
        config = AlbertConfig.from_file(tmp_path / folder)
        assert config.vocabulary_sha256 == vocabulary_digest((other / "spiece.model").read_bytes())
