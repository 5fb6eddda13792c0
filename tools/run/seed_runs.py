"""--seeds: several trainings that differ by their seed alone, one after another, and what they came to."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from os import environ
from pathlib import Path
from typing import Any

from callback.checkpointing import find_checkpoints
from tools.cli.errors import StoppedError, UsageError, ended_by
from tools.cli.log import setup_logging
from tools.cli.paths import PROGRAM
from tools.machine.folders import make_named_folder
from tools.machine.parent import name_launcher
from tools.results.run_folder import RunFolder
from tools.results.seeds import folder_name, lines_of, summarize
from tools.run.custom_flags import CustomFlags
from tools.run.data_flags import ShareFlags
from tools.run.flags import Flags
from tools.run.hub_inputs import with_folders
from tools.run.inputs import find_inputs
from tools.run.output_dir import check_record_place, has_weights, is_run
from tools.run.page import leave_page
from tools.run.previous import hold
from tools.run.run_facts import versions
from tools.run.run_record import RunRecord
from tools.run.training_flags import TrainingFlags

logger = logging.getLogger(__name__)

# It is said of each training anew what becomes of its folder.
_OF_FOLDERS = ("__resume", "__overwrite_output_dir")  # with _ for -, as flags may be written
ONE_PROCESS = (
    "--seeds trains in one process after another, and here are several for each training: start those "
    "one by one, with --seed and an --output_dir of their own"
)
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
# Trainings that differ in one of these are no repetitions of each other.
_FREE = ("cuda_graphs", "fused_kernels")  # As when one of them is resumed.
_THE_SAME = (
    *(
        item.name
        for group in (TrainingFlags, CustomFlags, ShareFlags)
        for item in fields(group)
        if item.name not in _FREE
    ),
    *("task_name", "data_dir", "model_name_or_path", "max_seq_length", "truncation", "keep_head"),
)


def train_seeds(flags: Flags, words: Sequence[str]) -> None:
    """Train with --seed and the numbers after it, each in a folder below --output_dir and its own process.

    Where the first of them ends badly, no other starts. With --resume those that are through stay, and the
    rest goes on.

    Args:
        words: the command line, which each training gets with its own seed and folder.

    Raises:
        UsageError: files are missing; or the folder holds another run, or trainings that no flag says
            anything of, or ones with other flags; or a training was used wrongly, which it says itself.
        ValueError: a training failed.
        StoppedError: a signal stopped one.
    """
    folder, first = flags.records.output_dir, flags.training.seed
    setup_logging(is_main=True)
    find_inputs(with_folders(flags))  # What is missing is said before anything is written.
    make_named_folder("--output_dir", folder)
    with hold(folder) as lock:
        if lock is None:
            raise UsageError(
                f"another run trains into {folder}: wait for it, or choose another --output_dir"
            )
        seeds = range(first, first + flags.goals.seeds)
        _check_folder(flags, seeds)
        record = RunRecord(folder)
        with record.closing():
            facts = {"command": sys.argv, "flags": flags.as_dict(), "versions": versions()}
            record.begin(facts, resumes=flags.records.resume)
            results: dict[int, dict[str, Any]] = {}
            for seed in seeds:
                own = folder / folder_name(seed)
                number = f"{seed - first + 1} of {len(seeds)}"
                if not (flags.records.resume and _result(own)):
                    logger.info("***** seed %d (%s): %s *****", seed, number, own)
                    status = run_child(_command(flags, words, seed, own))
                    _check_end(status, seed, own)
                else:
                    logger.info("***** seed %d (%s): %s is there *****", seed, number, own)
                results[seed] = _result(own) or {}
                record.add("seeds", summarize(results))
                record.save()
            for line in lines_of(record.values["seeds"]):
                logger.info("%s", line)
        leave_page(folder)


def one_process_for_seeds(seeds: int, rank: int | None) -> int | None:
    """Return the rank of a process among several, after a look at whether there may be several.

    Raises:
        UsageError: there are, and --seeds was given.
    """
    if seeds and rank is not None:
        raise UsageError(ONE_PROCESS)
    return rank


def first_of_seeds(flags: Flags) -> Flags:
    """Return the flags of the first training, after a look at the folder of all.

    Raises:
        UsageError: as :func:`train_seeds`.
    """
    folder, first = flags.records.output_dir, flags.training.seed
    _check_folder(flags, range(first, first + flags.goals.seeds))
    return replace(flags, records=replace(flags.records, output_dir=folder / folder_name(first)))


def _check_folder(flags: Flags, seeds: Sequence[int]) -> None:
    folder, records = flags.records.output_dir, flags.records
    check_record_place(folder)
    if is_run(folder):
        raise UsageError(
            f"--output_dir {folder} holds a training without --seeds: name another folder for several"
        )
    there = [seed for seed in seeds if is_run(folder / folder_name(seed))]
    if there and not (records.resume or records.overwrite_output_dir):
        raise UsageError(
            f"{folder / folder_name(there[0])} holds an earlier run: --resume leaves trainings that are "
            "through and goes on with the rest, --overwrite_output_dir trains all anew, another "
            "--output_dir leaves them alone"
        )
    earlier = RunFolder(folder).run.get("flags")
    if there and records.resume and isinstance(earlier, dict):
        now = json.loads(json.dumps(flags.as_dict(), default=str))
        for name in _THE_SAME:
            if name in earlier and earlier[name] != now.get(name):
                raise UsageError(
                    f"--resume: the trainings in {folder} had --{name} {earlier[name]}, and not "
                    f"{now.get(name)}: give the same, or another --output_dir"
                )


def _result(folder: Path) -> dict[str, Any] | None:
    """Return what a training that is through left of its model's scores."""
    run = RunFolder(folder).run
    found = run.get("results", {}).get("model")
    return found if run.get("status") == "finished" else None


def _command(flags: Flags, words: Sequence[str], seed: int, folder: Path) -> list[str]:
    """Return the command line of one training; of a flag that is there twice the last one counts."""
    kept = [word for word in words if word.replace("-", "_") not in _OF_FOLDERS]
    own = ["--seeds=0", f"--seed={seed}", f"--output_dir={folder}"]
    if is_run(folder):
        # One that was stopped after its training has nothing to go on from.
        lost = has_weights(folder) and not find_checkpoints(folder)
        goes_on = flags.records.resume and not lost
        own.append("--resume" if goes_on else "--overwrite_output_dir")
    return [sys.executable, str(PROGRAM), *kept, *own]


def run_child(command: Sequence[str]) -> int:
    """Run a command, which prints where this process does; return its exit status.

    SIGTERM and Ctrl-C go on to it: a training saves a checkpoint first. Where this process is killed, it
    gets SIGTERM.
    """
    came: list[int] = []
    child: subprocess.Popen | None = None

    def pass_on(number: int, _: object) -> None:
        came.append(number)
        if child is not None:
            child.send_signal(number)

    with _handling(pass_on):
        # A terminal sends Ctrl-C to all processes of its session; it is to come once, from here.
        child = subprocess.Popen(
            command,
            env=environ | name_launcher(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for number in came:  # The child was not there yet to be told.
            child.send_signal(number)
        status = child.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    passed = [n for n in _PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in passed}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _check_end(status: int, seed: int, folder: Path) -> None:
    """Raise what ends the whole where a training did not end well; what went wrong it has said itself."""
    again = "the same line with --resume goes on there"
    if status - 128 in _PASSED_ON:
        number = status - 128
        raise StoppedError(number, f"{ended_by(number)} in the training with seed {seed}; {again}")
    if status == 2:
        raise UsageError(f"the training with seed {seed} was not started, for what is said above")
    if status:
        raise ValueError(f"the training with seed {seed} ended with status {status}; {again}")
    if _result(folder) is None:
        raise ValueError(f"the training with seed {seed} left no results in {folder}")
