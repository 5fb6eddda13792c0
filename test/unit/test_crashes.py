"""Whatever ends a run, and whenever: nothing is lost, and the run that goes on ends as if it had not been.

The runs are small ones in this process, on disks that fail (crashes.py). A run to the end from each point
takes a fifth of a second, and there are some hundreds of points; so each day every tenth of them has its
turn, beginning with another. ALBERT_TEST_LONG=1 in the environment has all of them, ALBERT_FUZZ_SEED=N
those of the N-th day.
"""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import threading
from contextlib import nullcontext, suppress
from datetime import date
from pathlib import Path

import pytest
from crashes import FullDisk, Kills, PowerCuts, read_tree, write_tree
from fuzzing import SEED
from helpers import one_line_error, write_sst2

import run_classifier as program
from callback.checkpointing import CHECKPOINT_NAME, MODEL_FILES, checkpoint_step, find_checkpoints
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.run.flags import parse_flags

EVERY = 1 if os.environ.get("ALBERT_TEST_LONG") else 10
# Seven steps in two epochs, with an evaluation at the step of each checkpoint.
TRAINING = ("--do_train", "--do_eval", "--do_predict", "--max_steps=7", "--save_steps=3")
TRAINING += ("--eval_steps=3", "--save_total_limit=1", "--logging_steps=3")
# These are of the one process that measured them.
MEASURED = (
    "time",
    "fps",
    "seconds",
    "samples_per_second",
    "tokens_per_second",
    "peak_memory_bytes",
)
MEASURED += ("padding_efficiency",)
# Of a run's record these are of the one process, too, and --resume is a flag of the second.
OF_ONE_PROCESS = (*MEASURED, "started", "ended", "durations", "flags")


def chosen(points, every=EVERY):
    """Return those whose turn it is, with their numbers, and the last one."""
    first = (SEED or date.today().toordinal()) % every
    picked = list(enumerate(points))
    return [*picked[first:-1:every], picked[-1]]


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Have a run take this process as it is, wait for no disk, and leave no page, which cannot fail it."""
    runtime = Runtime(Device("cpu"), Processes())
    monkeypatch.setattr(program, "start_runtime", lambda *_, **__: nullcontext(runtime))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(program, "leaving_page", lambda *_: nullcontext())


@pytest.fixture
def disk(tmp_path):
    """The folder that the failing disks stand for: data/, and out/ once a run begins."""
    folder = tmp_path / "disk"
    write_sst2(folder / "data", train=48, dev=8, test=4)
    return folder


@pytest.fixture
def train(pretrained, disk):
    """Run the small training in this process, with more flags; returns what :func:`outcome` does."""

    def call(*flags):
        words = ("--model_name_or_path", pretrained, "--data_dir", disk / "data")
        words += ("--output_dir", disk / "out", "--max_seq_length=32", "--learning_rate=1e-3")
        program.main(parse_flags([str(word) for word in (*words, *TRAINING, *flags)]))
        return outcome(disk)

    return call


def outcome(disk):
    """Return all files but the earlier runs', with what they say but times and flags."""
    tree = read_tree(disk)
    found = {name: tree[name] for name in tree if not name.startswith("out/previous")}
    found["out/training_args.json"] = None
    lines = found["out/metrics.jsonl"].decode().splitlines()
    found["out/metrics.jsonl"] = [
        {name: value for name, value in json.loads(line).items() if name not in MEASURED}
        for line in lines
    ]
    if "out/run.json" in found:
        run = json.loads(found["out/run.json"])
        found["out/run.json"] = {n: value for n, value in run.items() if n not in OF_ONE_PROCESS}
    for name in found:  # A checkpoint has the run's settings, in an order of torch's own.
        if name.endswith(("training_state.pt", "manifest.json")):
            found[name] = None
    return found


@pytest.mark.parametrize(
    "flags", [(), ("--stop_point=0.3",)], ids=["to its end", "to a stop point"]
)
def test_a_run_that_is_killed_anywhere_ends_as_if_it_had_not_been(train, disk, flags):
    with Kills(disk).installed() as kills:
        expected = train(*flags)
    assert kills.points > 80
    for number, tree in chosen([*kills.trees, read_tree(disk)]):
        write_tree(disk, tree)
        assert train("--resume", *flags) == expected, number


def test_a_resumed_run_that_is_killed_anywhere_ends_as_if_it_had_not_been(train, disk):
    expected = train()
    shutil.rmtree(disk / "out")
    with Kills(disk).installed() as kills:
        train()
    stopped = next(tree for tree in kills.trees if "out/checkpoint-3" in tree)
    write_tree(disk, stopped)
    with Kills(disk).installed() as kills:
        assert train("--resume") == expected
    for number, tree in chosen([*kills.trees, read_tree(disk)]):
        write_tree(disk, tree)
        assert train("--resume") == expected, number


def check_overwriting(train, disk, layer):
    """See that a run over an earlier one is whole and the earlier one too, whatever a layer does to it."""
    train()
    earlier = {n: c for n, c in read_tree(disk / "out").items() if n != ".lock"}
    flags = ("--seed=7", "--overwrite_output_dir")
    with layer(disk).installed() as ended:
        expected = train(*flags)
    for number, tree in chosen([*ended.trees, read_tree(disk)]):
        write_tree(disk, tree)
        begun = any(name.startswith("out/previous/") for name in tree)
        found = train("--seed=7", "--resume") if begun else train(*flags)
        assert found == expected, number
        previous = disk / "out" / "previous"
        assert [folder.name for folder in previous.iterdir()] == ["1"], number
        assert read_tree(previous / "1") == earlier, number


def test_an_earlier_run_is_whole_wherever_the_one_over_it_is_killed(train, disk):
    check_overwriting(train, disk, Kills)


def test_an_earlier_run_is_whole_wherever_the_power_is_cut(train, disk):
    check_overwriting(train, disk, PowerCuts)


class Promises(PowerCuts, logging.Handler):
    """Power cuts, at each of which all is there that the log has said to be."""

    def __init__(self, folder):
        logging.Handler.__init__(self)
        PowerCuts.__init__(self, folder)
        self._said = []

    def emit(self, record):
        for words in ("Saving model checkpoint to ", "predictions: "):
            if (text := record.getMessage()).startswith(words):
                self._said.append(Path(text.removeprefix(words)))

    def cut(self):
        before = len(self.trees)
        super().cut()
        for path in filter(Path.exists, self._said):  # Those that are deleted since are not there.
            names = [path / name for name in MODEL_FILES] if path.name == "out" else [path]
            files = [file for name in names for file in (name, *name.rglob("*")) if file.is_file()]
            assert files
            for file in files:
                for tree in self.trees[before:]:
                    assert tree.get(str(file.relative_to(self.folder))) == file.read_bytes(), file


def test_a_power_cut_takes_nothing_that_was_said_to_be_there(train, disk, caplog):
    caplog.set_level(logging.INFO)
    layer = Promises(disk)
    logging.root.addHandler(layer)
    try:
        with layer.installed():
            expected = train()
            layer.trees.clear()
            layer._seen.clear()
            PowerCuts.cut(layer)
    finally:
        logging.root.removeHandler(layer)
    after_the_end = layer.trees
    assert after_the_end
    for tree in after_the_end:
        write_tree(disk, tree)
        found = outcome(disk)
        assert {**found, "out/.lock": b""} == expected


def test_a_run_goes_on_after_a_power_cut_anywhere(train, disk):
    with PowerCuts(disk).installed() as cuts:
        expected = train()
    assert len(cuts.trees) > 80
    for number, tree in chosen(cuts.trees):
        write_tree(disk, tree)
        if "data/train.tsv" in tree:
            assert train("--resume") == expected, number


def test_a_full_disk_is_said_and_costs_nothing(train, disk):
    expected = train()
    shutil.rmtree(disk / "out")
    start = read_tree(disk)
    with FullDisk(disk, after=10**6).installed() as layer:
        train()
    for _, after in chosen(range(layer.asked), 1 if EVERY == 1 else 20):
        write_tree(disk, start)
        words = f"no space is left on the disk of {disk}/.*: free some there, .* --resume"
        with FullDisk(disk, after).installed(), pytest.raises(OSError, match=words):
            train()
        left = read_tree(disk)
        assert not [name for name in left if "/.writing" in name], after
        folders = {name for name in left if name.startswith("out/checkpoint-") and not left[name]}
        assert len(find_checkpoints(disk / "out")) == len([n for n in folders if n.count("/") == 1])
        assert train("--resume") == expected, after


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of a few pages, and return its folder and a function that makes it large."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(options):
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    if not shutil.which("mount") or (result := mount("size=300k")).returncode:
        pytest.skip(f"this machine lets nobody mount a disk in memory: {result.stderr.strip()}")
    yield folder, lambda: mount("remount,size=20m")
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("save_format", ["huggingface", "albert_pytorch"])
def test_a_disk_that_is_really_full_is_one_line(run_classifier, sst2, small_disk, save_format):
    out, enlarge = small_disk
    flags = ("--data_dir", sst2, "--output_dir", out, "--do_train", "--max_steps=4")
    flags += ("--save_steps=2", "--save_format", save_format)
    result = run_classifier(*flags)
    line = one_line_error(result.returncode, result.stderr, 1)
    assert f"no space is left on the disk of {out}: free some there" in line
    assert not list(out.glob(".writing-*"))
    assert enlarge().returncode == 0
    assert run_classifier(*flags, "--resume").returncode == 0


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    run_classifier, sst2, tmp_path
):
    flags = ("--data_dir", sst2, "--do_train", "--max_steps=200", "--save_steps=10")
    assert run_classifier(*flags, "--output_dir=straight").returncode == 0

    def kill(step, seconds, is_over):
        """Kill the run some time after it has saved a step, unless it is over."""
        while not any(checkpoint_step(c) >= step for c in find_folders()):
            if is_over.wait(0.002):
                return
        is_over.wait(seconds)
        for folder in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):  # It ended, or is another user's.
                if folder.readlink() == tmp_path:
                    os.kill(int(folder.parent.name), signal.SIGKILL)

    def find_folders():
        return [
            c
            for c in (tmp_path / "killed").glob("checkpoint-*")
            if CHECKPOINT_NAME.fullmatch(c.name)
        ]

    draw = random.Random(SEED)
    killed, rounds = 0, 50 if EVERY == 1 else 4
    for number in range(rounds):
        is_over = threading.Event()
        step = 10 * (1 + number * 18 // rounds)
        killer = threading.Thread(target=kill, args=[step, draw.uniform(0, 0.1), is_over])
        killer.start()
        result = run_classifier(*flags, "--output_dir=killed", "--resume")
        is_over.set()
        killer.join()
        killed += result.returncode == -signal.SIGKILL
    assert run_classifier(*flags, "--output_dir=killed", "--resume").returncode == 0
    assert killed
    straight, found = (tmp_path / name / "model.safetensors" for name in ("straight", "killed"))
    assert straight.read_bytes() == found.read_bytes()
