"""A model that says which vocabulary it was trained with takes no other of the same size."""

import json
import shutil

import pytest

from callback.checkpointing import save_final
from model.checkpoint import build_model, load_model
from model.configuration_albert import AlbertConfig
from model.files import digest
from model.tokenization_albert import AlbertTokenizer, check_vocabulary
from tools import predict
from tools.cli.paths import ROOT
from tools.run.preflight import check_run

WORDS = "spiece.model is not the vocabulary that the model was trained with, whose SHA-256 its"


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
    assert values["vocabulary_sha256"] == digest(vocabulary) == digest(trained / "spiece.model")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AlbertForSequenceClassification.from_pretrained(trained)
    assert theirs.config.vocab_size == values["vocab_size"]


@pytest.mark.parametrize("flag", ["--tokenizer_name=other", "--spm_model_file=other/spiece.model"])
@pytest.mark.parametrize("goal", ["--do_train", "--do_eval", "--do_predict"])
def test_another_vocabulary_is_refused(refused, trained, other, sst2, goal, flag):
    own = ("--data_dir", sst2, "--output_dir=out", "--model_name_or_path", trained)
    line = refused(*own, goal, flag, status=1)
    assert f"other/{WORDS} config.json has (vocabulary_sha256): give the spiece.model that" in line


def test_a_vocabulary_put_in_its_place_is_refused(trained, other, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert predict.main(["--model", str(trained), "--device=cpu", "a film"]) == 0
    shutil.copy(other / "spiece.model", trained)
    assert predict.main(["--model", str(trained), "--device=cpu", "a film"]) == 1
    assert f"{trained}/{WORDS}" in capsys.readouterr().err


def test_it_is_found_before_several_processes_start(trained, other, sst2, tmp_path, monkeypatch):
    words = [f"--model_name_or_path={trained}", f"--tokenizer_name={other}", f"--data_dir={sst2}"]
    words += ["--do_train", f"--output_dir={tmp_path / 'out'}", "--max_seq_length=32"]
    program = [str(ROOT / "run_classifier.py"), *words]
    with pytest.raises(ValueError, match=WORDS):
        check_run(program, writes=True, restarts=False)
    del words[1]
    check_run([program[0], *words], writes=True, restarts=False)


def test_a_model_that_does_not_say_takes_any(trained, other, pretrained):
    tokenizer = AlbertTokenizer(other / "spiece.model")
    check_vocabulary(AlbertConfig.from_file(pretrained), tokenizer)
    config = AlbertConfig.from_file(trained)
    with pytest.raises(ValueError, match=WORDS):
        check_vocabulary(config, tokenizer)
    values = json.loads((trained / "config.json").read_text())
    for value in (None, 3):  # The key is taken out, or another tool's.
        values["vocabulary_sha256"] = value
        (trained / "config.json").write_text(json.dumps(values))
        config = AlbertConfig.from_file(trained)
        check_vocabulary(config, tokenizer)
        load_model(trained, config)


def test_random_weights_learn_any(program, trained, other, sst2, tmp_path):
    flags = ["--do_train", "--random_init", "--max_steps=1", "--save_steps=1", "--output_dir=out"]
    flags += ["--model_name_or_path", trained, "--tokenizer_name", other, "--data_dir", sst2]
    assert program(*flags) == 0
    for folder in ("out", "out/checkpoint-1"):
        config = AlbertConfig.from_file(tmp_path / folder)
        assert config.vocabulary_sha256 == digest(other / "spiece.model")
