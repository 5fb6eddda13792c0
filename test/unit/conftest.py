"""Small data, a small vocabulary and a small model, made by the tests themselves."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, command, one_line_error, sentences, write_sst2, write_stsb
from patience import Patience
from tape import Tape

import run_classifier as main_program
from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from model.tokenization_albert import AlbertTokenizer
from model.tokenizer_export import save_tokenizer
from model.torch_releases import CAN_COMPILE
from model.vocabulary_training import train_vocabulary
from tools import predict
from tools.machine.device import Device

if not torch.cuda.is_available():  # Triton reads it when it is first imported, by whichever test.
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_sessionstart(session):
    """Have whoever watches the tests know what takes long; the process that shows it runs none of them."""
    plugins = session.config.pluginmanager
    if plugins.hasplugin("dsession"):
        plugins.register(Patience(plugins.getplugin("terminalreporter").write_line))


def pytest_collection_modifyitems(items):
    """Skip what takes long, unless it is asked for, and what the oldest torch cannot do."""
    for item in items:
        if item.get_closest_marker("long") and not os.environ.get("ALBERT_TEST_LONG"):
            item.add_marker(pytest.mark.skip(reason="ALBERT_TEST_LONG=1 has it run, too"))
        mark = item.get_closest_marker("newer_torch")
        if mark and not CAN_COMPILE:
            item.add_marker(pytest.mark.skip(reason=f"torch {torch.__version__} {mark.args[0]}"))


# Where a script has the tests in its background, or under nohup, a signal is ignored, and their commands
# would inherit that.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# Models this small gain nothing from threads, which wait for each other where something else runs too.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _as_before():
    """Have the next test begin with one thread and this environment, whatever a program run here did."""
    environment = dict(os.environ)
    yield
    torch.set_num_threads(1)
    if os.environ != environment:
        os.environ.clear()
        os.environ.update(environment)


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """A SentencePiece model with ALBERT's special tokens, and pieces that end in digit + comma."""
    corpus = [text for text, _ in sentences(300)]
    corpus += [" ".join("abcdefghijklmnopqrstuvwxyz0123456789,.![]()/\"'")] * 5
    corpus += ["in 2013, and 12, or 2, as of 2, 3, and 42, 2013,"] * 60
    model = train_vocabulary(
        corpus, 150, hard_vocab_limit=False, split_by_unicode_script=False, split_by_number=False
    )
    path = tmp_path_factory.mktemp("vocabulary") / "spiece.model"
    path.write_bytes(model)
    return path


@pytest.fixture(scope="session")
def tokenizer(vocabulary):
    return AlbertTokenizer(vocabulary)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory, tokenizer):
    """An ALBERT folder without a classifier, as published models are."""
    folder = tmp_path_factory.mktemp("albert_tiny")
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.1,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    save_model(build_model(config), folder, with_classifier=False)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture
def no_dropout(pretrained, tmp_path):
    """The same model without dropout: its draws differ from process to process."""
    folder = tmp_path / "no_dropout"
    shutil.copytree(pretrained, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "classifier_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def sst2(tmp_path):
    return write_sst2(tmp_path / "dataset" / "SST-2")


@pytest.fixture
def stsb(tmp_path):
    return write_stsb(tmp_path / "dataset" / "STS-B")


@pytest.fixture
def run_classifier(pretrained, tmp_path):
    """Call run_classifier.py on the small model, in a folder of its own."""

    def call(*flags):
        own = ("--model_name_or_path", pretrained, "--max_seq_length", 32, "--device", "cpu")
        return command(sys.executable, ROOT / "run_classifier.py", *own, *flags, cwd=tmp_path)

    return call


@pytest.fixture
def refused(pretrained, tmp_path, monkeypatch, capsys):
    """Have run_classifier.py refuse flags, in this process, and return the one line that it says."""

    def call(*flags, status):
        monkeypatch.chdir(tmp_path)
        handlers, level = logging.root.handlers[:], logging.root.level
        on_signal = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
        words = ["--model_name_or_path", pretrained, "--max_seq_length=32", "--device=cpu", *flags]
        try:
            found = main_program.run_program([str(word) for word in words])
        except SystemExit as end:  # The parser ends the program itself.
            found = end.code
        finally:
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
            for number, handler in on_signal.items():
                signal.signal(number, handler)
        return one_line_error(found, capsys.readouterr().err, status)

    return call


@pytest.fixture
def program(pretrained, tmp_path, monkeypatch):
    """Call run_classifier.py in this process; it returns its exit status."""
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers[:], logging.root.level
    on_sigterm = signal.getsignal(signal.SIGTERM)
    own = ["--model_name_or_path", pretrained, "--max_seq_length=32", "--device=cpu"]
    yield lambda *flags: main_program.run_program([str(word) for word in (*own, *flags)])
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.fixture
def small_model(pretrained, tokenizer, tmp_path):
    """Return a function that writes a classifier's folder, trained on pairs or not, or saying neither."""

    def write(has_pairs, labels=("bad", "good")):
        folder = tmp_path / f"model_{has_pairs}"
        config = AlbertConfig.from_file(pretrained)
        config.set_task(labels, has_pairs)
        config.initializer_range = 0.5
        torch.manual_seed(3)
        save_model(build_model(config), folder)
        save_tokenizer(tokenizer, folder)
        return folder

    return write


@pytest.fixture
def ask(monkeypatch, capsys, tmp_path):
    """Run predict in this process; return its status, the records that it shows and its error output."""

    def call(folder, *words, data=b"", shows=True):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))
        monkeypatch.chdir(tmp_path)
        on_sigterm = signal.getsignal(signal.SIGTERM)
        words = ["--model", str(folder), "--device=cpu", "--max_seq_length=32", *map(str, words)]
        try:
            status = predict.main(words)
        except SystemExit as end:
            status = end.code
        finally:
            signal.signal(signal.SIGTERM, on_sigterm)
        printed = capsys.readouterr()
        shown = printed.out.splitlines() if shows else []
        return status, [json.loads(line) for line in shown], printed.err

    return call


@pytest.fixture
def on_tape(monkeypatch):
    """Let the CPU be a device that has graphs; return those that are recorded there."""
    recorded, tape = [], Tape()
    monkeypatch.setattr(Device, "why_no_graphs", lambda device: None)
    record = lambda piece: recorded.append(tape(piece)) or recorded[-1]  # noqa: E731
    monkeypatch.setattr(Device, "graph_recorder", lambda device: record)
    return recorded


@pytest.fixture
def clone(tmp_path, pretrained):
    """A copy of the project with small data and a small model where launchers look by default."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns(
        ".*", "outputs", "output", "dataset", "prev_trained_model", "unit"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    write_sst2(folder / "dataset" / "SST-2")
    write_stsb(folder / "dataset" / "STS-B")
    shutil.copytree(pretrained, folder / "prev_trained_model" / "albert_base_v2")
    return folder


@pytest.fixture
def ascend_machine(tmp_path):
    """A folder with the devices of a machine with two NPUs: ALBERT_TEST_ROOT puts it in the place of /."""
    folder = tmp_path / "machine"
    (folder / "dev").mkdir(parents=True)
    for name in ("davinci0", "davinci1", "davinci_manager"):
        (folder / "dev" / name).touch()
    return folder


@pytest.fixture(scope="session")
def real_data():
    """The folder with SST-2/, STS-B/ and albert_base_v2/ that ALBERT_TEST_DATA names."""
    folder = os.environ.get("ALBERT_TEST_DATA")
    if not folder:
        pytest.skip("ALBERT_TEST_DATA names no folder with SST-2/, STS-B/ and albert_base_v2/")
    return Path(folder)
