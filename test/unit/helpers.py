"""What several test files need: small data, a small training, and commands as a user types them."""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import subprocess
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from forkrelay import tied
from forkserver import THREADS, ForkServer, can_fork

import run_classifier
from callback.history import History
from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from model.weight_names import huggingface_key
from processors.features import build_features
from processors.reading import Examples
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.machine.stop_signals import StopSignals
from tools.run.data_flags import inputs_of
from tools.run.flags import parse_flags
from tools.run.run_record import RunRecord
from tools.run.start import Run, Start

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
# As it is before any test changes it.
_ENVIRONMENT = dict(os.environ)
# A launcher's flags for the small data and the small model.
SMALL = ("--device=cpu", "--batch_size=8", "--", "--max_seq_length=32", "--max_steps=10")

GOOD = ("a fine and moving film", "the acting is wonderful", "we loved this warm story")
BAD = ("a dull and tired film", "the acting is terrible", "we hated this cold story")
FILLER = ("with 2,013 scenes", "in the city", "from start to end", "as they say", "by the sea", "")


def sentences(count, seed=0):
    """Return ``count`` (sentence, label) pairs that a small model can learn to tell apart."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        label = rng.randrange(2)
        extra = " ".join(rng.choices(FILLER, k=rng.randrange(1, 5)))
        pairs.append((f"{rng.choice((BAD, GOOD)[label])} {extra}".strip(), str(label)))
    return pairs


def write_sst2(folder, train=160, dev=30, test=10):
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("dev", dev)):
        rows = [f"{text}\t{label}" for text, label in sentences(count, seed=len(split))]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    rows = [f"{index}\t{text}" for index, (text, _) in enumerate(sentences(test, seed=9))]
    (folder / "test.tsv").write_text("\n".join(["index\tsentence", *rows]) + "\n")
    return folder


def write_stsb(folder, train=64, dev=30, test=10):
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        first, second = sentences(count, seed=len(split)), sentences(count, seed=len(split) + 50)
        rows = [
            f"{i}\tgenre\t{a}\t{b}" + ("" if split == "test" else f"\t{5.0 * (la == lb):.3f}")
            for i, ((a, la), (b, lb)) in enumerate(zip(first, second, strict=True))
        ]
        header = "index\tgenre\tsentence1\tsentence2" + ("" if split == "test" else "\tscore")
        (folder / f"{split}.tsv").write_text("\n".join([header, *rows]) + "\n")
    return folder


# Of the small training.
STEPS, RATE = 200, 28e-5

MNLI = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse"
MNLI += "\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
MNLI_ROW = "0\t31193\t31193n\tgov\t( a )\t( b )\t(ROOT a)\t(ROOT b)"
MRPC = "#1 ID\t#2 ID\t#1 String\t#2 String"
PAIR = "index\tsentence1\tsentence2"

# By task: the header and a row of the training file, of the test file, and what they say. The headers are
# those of GLUE's archives, of the MRPC files that its download script makes, and of LCQMC's.
TASK_LAYOUTS = {
    "cola": ("", "gj04\t1\t\tA b.\n", "index\tsentence\n", "0\tA b.\n", ("A b.", None, 1)),
    "mnli": (
        f"{MNLI}\tlabel1\tgold_label\n", f"{MNLI_ROW}\ta\tb\tneutral\tneutral\n",
        f"{MNLI}\n", f"{MNLI_ROW}\ta\tb\n", ("a", "b", 2),
    ),
    "mnli-mm": (
        f"{MNLI}\tlabel1\tgold_label\n", f"{MNLI_ROW}\ta\tb\tneutral\tneutral\n",
        f"{MNLI}\n", f"{MNLI_ROW}\ta\tb\n", ("a", "b", 2),
    ),
    "mrpc": (
        f"\ufeffQuality\t{MRPC}\n", "1\t70\t71\ta\tb\n",
        f"index\t{MRPC}\n", "0\t70\t71\ta\tb\n", ("a", "b", 1),
    ),
    "sst-2": ("sentence\tlabel\n", "a\t0\n", "index\tsentence\n", "0\ta\n", ("a", None, 0)),
    "sts-b": (
        f"{PAIR}\tscore\n", "0\ta\tb\t2.5\n", f"{PAIR}\n", "0\ta\tb\n", ("a", "b", 2.5),
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n", "7\t1\t2\ta\tb\t1\n",
        "id\tquestion1\tquestion2\n", "0\ta\tb\n", ("a", "b", 1),
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n", "0\ta\tb\tnot_entailment\n",
        "index\tquestion\tsentence\n", "0\ta\tb\n", ("a", "b", 1),
    ),
    "rte": (f"{PAIR}\tlabel\n", "0\ta\tb\tentailment\n", f"{PAIR}\n", "0\ta\tb\n", ("a", "b", 0)),
    "wnli": (f"{PAIR}\tlabel\n", "0\ta\tb\t1\n", f"{PAIR}\n", "0\ta\tb\n", ("a", "b", 1)),
    "lcqmc": ("", "甲\t乙\t1\n", "text_a\ttext_b\tlabel\n", "甲\t乙\t1\n", ("甲", "乙", 1)),
}  # fmt: skip


def make_examples(*rows):
    """Return the columns of (first text, second text or None, label or None) rows."""
    texts_a, texts_b, labels = map(list, zip(*rows, strict=True))
    return Examples(
        texts_a, *(None if column[0] is None else column for column in (texts_b, labels))
    )


def rows_of(examples):
    """Return what :func:`make_examples` makes ``examples`` of."""
    missing = [None] * len(examples)
    columns = (examples.texts_a, examples.texts_b or missing, examples.labels or missing)
    return list(zip(*columns, strict=True))


def encode(tokenizer, texts):
    """Return the ids of each text, as a list."""
    ids, lengths = tokenizer.encode_flat(texts)
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]


def command(*words, cwd, **environment):
    """Run a command as a user would and return what it did.

    It is forked from a process that has torch loaded where that comes to the same (forkserver.py).
    """
    words = [str(word) for word in words]
    whole = {**os.environ, **THREADS, **environment}
    if can_fork(words, cwd, environment):
        with (
            TemporaryFile() as output,
            TemporaryFile() as errors,
            Path(os.devnull).open() as nothing,
        ):
            streams = [file.fileno() for file in (nothing, output, errors)]
            status = _fork_server().run(words[1:], cwd, whole, streams)
            texts = [_text_of(file) for file in (output, errors)]
        if status is not None:
            return subprocess.CompletedProcess(words, status, *texts)
    return subprocess.run(
        tied(words), cwd=cwd, env=whole, capture_output=True, text=True, check=False, timeout=600
    )


def start_command(words, **options):
    """Start a command as subprocess.Popen does; like all others, it does not outlive the tests."""
    return subprocess.Popen(tied([str(word) for word in words]), **options)


@cache
def _fork_server():
    return ForkServer(_ENVIRONMENT)


def forked_environment():
    """Return a folder like that of a virtual environment, whose Python is forked where it can be."""
    return _fork_server().environment


def _text_of(file):
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def write_script(path, text):
    """Write a file that can be executed, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def launch(clone, name, *flags, cwd=None, **environment):
    """Start a launcher in the environment of these tests."""
    environment = {"VIRTUAL_ENV": str(forked_environment()), "ASCEND_DEVICE_ID": ""} | environment
    return command("bash", clone / "test" / name, *flags, cwd=cwd or clone, **environment)


def is_free(folder):
    """Return whether no run holds ``folder``."""
    with (folder / ".lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def wait_until(holds, seconds):
    """Wait until ``holds`` returns something, or for so many seconds."""
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)


def free_port():
    """Return the number of a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accuracy(output):
    """Return every accuracy in a program's output."""
    return [float(line.split(" = ")[1]) for line in output.splitlines() if "  acc = " in line]


def records(folder, event):
    """Return the records of a kind in an output folder's metrics.jsonl."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["event"] == event]


def one_line_error(found, error_output, status):
    """Return the one line with which run_classifier.py ended, as it should have, with ``status``."""
    assert found == status, error_output
    lines = error_output.strip().splitlines()
    assert len(lines) == 1, error_output
    assert lines[0].startswith("run_classifier.py: error: ")
    return lines[0]


def golden_model(name):
    """Return the model of a golden file, the file's arrays, and its batch."""
    config = AlbertConfig.from_file(DATA / f"{name}.config.json")
    config.classifier_input_shift = 0.1
    arrays = np.load(DATA / f"{name}.npz")
    model = AlbertForSequenceClassification(config).eval()
    state = {
        huggingface_key(key.removeprefix("state/")): torch.from_numpy(arrays[key])
        for key in arrays
        if key.startswith("state/")
    }
    model.load_state_dict(state)
    batch = [torch.from_numpy(arrays[k]) for k in ("input_ids", "attention_mask", "token_type_ids")]
    return model, arrays, batch


def small_training(task, tokenizer):
    """Return a small classifier without dropout, and the features of 100 examples to train it with."""
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=16, hidden_size=32, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
        classifier_dropout_prob=0.0, initializer_range=0.1,
    )  # fmt: skip
    config.set_task(task.labels)
    config.set_inputs(64, "head")
    texts = sentences(100, seed=3)
    rows = [(text, None, int(label)) for text, label in texts]
    if task.is_regression:
        pairs = zip(texts, sentences(100, seed=4), strict=True)
        rows = [(a, b, 5.0 * (la == lb)) for (a, la), (b, lb) in pairs]
    torch.manual_seed(1)
    features = build_features(make_examples(*rows), tokenizer, 64, task.is_regression)
    return build_model(config), features


def training_flags(tmp_path, task, *others):
    """Return the flags of the small training; ``others`` win."""
    flags = f"--task_name {task.name} --do_train --batch_size 8 --max_steps {STEPS} --device cpu"
    flags += f" --learning_rate {RATE} --save_steps 0 --output_dir"
    return parse_flags([*flags.split(), str(tmp_path), *map(str, others)])


def train(flags, model, tokenizer, features, history_file=None):
    """Have run_classifier.py train ``model`` in this process."""
    inputs = flags.inputs
    model.config.set_inputs(*inputs_of(model.config, inputs.max_seq_length, inputs.truncation))
    run = Run(None, flags.records.output_dir, None, History(history_file), RunRecord(None))
    start = Start(flags.task, tokenizer, {"train": [features]}, model)
    runtime = Runtime(Device("cpu"), Processes())
    with StopSignals(runtime.processes) as stop:
        return run_classifier.train(flags, runtime, run, start, None, stop)


def losses_of(path):
    """Return the losses of all steps in a metrics.jsonl."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["loss"] for row in rows if row["event"] == "step"]
