"""SIGTERM and Ctrl-C finish the step, save a checkpoint and say how to go on, in all processes alike."""

import os
import signal
import sys
import time

import pytest
from forks import fork, run_together, statuses
from helpers import records, write_sst2

import run_classifier
from callback.checkpointing import newest_checkpoint
from tools.cli.errors import StoppedError
from tools.machine import stop_signals
from tools.machine.distributed import Processes
from tools.machine.stop_signals import StopSignals
from tools.run import best, checkpoints, scoring
from tools.run.training import TrainingState


@pytest.fixture
def common(pretrained, tmp_path):
    """The flags of all runs here."""
    data = write_sst2(tmp_path / "SST-2", train=64, dev=8)
    return ["--do_train", "--max_steps=8", "--save_steps=0", "--learning_rate=1e-3", "--device=cpu",
            "--data_dir", data, "--model_name_or_path", pretrained, "--max_seq_length=32"]  # fmt: skip


@pytest.fixture
def run(common, tmp_path, monkeypatch, capsys):
    """Call run_classifier.py in this process; returns its exit status and what it said of errors."""
    monkeypatch.chdir(tmp_path)

    def call(folder, *flags):
        words = [*common, *flags, "--output_dir", folder]
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            status = run_classifier.run_program([str(word) for word in words])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return status, capsys.readouterr().err

    return call


@pytest.fixture
def at_step(monkeypatch):
    """Have signals come to this process in a step of the next training."""

    def plan(step, *numbers):
        update, left = TrainingState.update, list(numbers)

        def update_and_signal(state):
            while left and state.global_step + 1 == step:
                signal.raise_signal(left.pop(0))
            update(state)

        monkeypatch.setattr(TrainingState, "update", update_and_signal)

    return plan


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def losses(folder):
    return [record["loss"] for record in records(folder, "step")]


STOPPED = (
    "run_classifier.py: {} after step {}: out/checkpoint-{} is saved; --resume goes on from there\n"
)


@pytest.mark.parametrize("step", [1, 3, 8])
@pytest.mark.parametrize(
    ("number", "what"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")]
)
def test_a_run_that_a_signal_stopped_goes_on_as_if_it_had_not(
    run, at_step, tmp_path, number, what, step
):
    assert run("whole")[0] == 0
    at_step(step, number, signal.SIGTERM, number)  # Within a second they are one.
    assert run("out", "--logging_steps=100") == (
        128 + number,
        STOPPED.format(what, step, step),
    )
    assert losses(tmp_path / "out") == losses(tmp_path / "whole")[:step]
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert run("out", "--resume") == (0, "")
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert losses(tmp_path / "out") == losses(tmp_path / "whole")


def test_a_checkpoint_that_is_due_is_written_once(run, at_step, tmp_path, monkeypatch):
    saved, save = [], checkpoints.save_checkpoint
    monkeypatch.setattr(
        checkpoints, "save_checkpoint", lambda *args: [saved.append(args[1]), save(*args)]
    )
    at_step(4, signal.SIGTERM)
    assert run("out", "--save_steps=2") == (143, STOPPED.format("terminated", 4, 4))
    assert saved == [2, 4]
    at_step(5, signal.SIGTERM)
    assert run("out", "--resume")[0] == 143
    assert saved == [2, 4, 5]


def test_a_signal_cuts_an_evaluation_short(run, tmp_path, monkeypatch):
    """The checkpoint of the step is there, and no figure of half the dev set."""
    batch_logits = scoring.batch_logits

    def with_signal(*args):
        for index, logits in enumerate(batch_logits(*args)):
            if index == 1:
                signal.raise_signal(signal.SIGTERM)
            assert index < 2
            yield logits

    monkeypatch.setattr(scoring, "batch_logits", with_signal)
    flags = ("--do_eval", "--eval_steps=3", "--eval_batch_size=1", "--padding=max_length")
    assert run("out", *flags) == (143, STOPPED.format("terminated", 3, 3))
    assert records(tmp_path / "out", "eval") == []
    assert (tmp_path / "out" / "checkpoint-3").is_dir()


def test_a_second_signal_ends_at_once(run, at_step, monkeypatch, tmp_path):
    monkeypatch.setattr(stop_signals, "REPEAT_SECONDS", 0)
    at_step(3, signal.SIGTERM, signal.SIGINT)
    assert run("out") == (130, "run_classifier.py: interrupted\n")
    assert not list((tmp_path / "out").glob("checkpoint-*"))


AT_THE_END = "run_classifier.py: {} after the last step: out has the trained model\n"


@pytest.fixture
def in_call(monkeypatch):
    """Have signals come to this process at the beginning of a function's next call."""

    def plan(owner, name, *numbers):
        function, left = getattr(owner, name), list(numbers)

        def signal_and_call(*args):
            while left:
                signal.raise_signal(left.pop(0))
            return function(*args)

        monkeypatch.setattr(owner, name, signal_and_call)

    return plan


@pytest.mark.parametrize(
    ("owner", "name", "number", "what"),
    [
        (run_classifier.Meter, "finish", signal.SIGTERM, "terminated"),
        (best, "save_final", signal.SIGINT, "interrupted"),
        (run_classifier, "load_model", signal.SIGTERM, "terminated"),  # The one that was saved.
    ],
)
def test_a_signal_after_the_last_step_ends_once_the_model_is_saved(
    run, in_call, tmp_path, owner, name, number, what
):
    in_call(owner, name, number)
    assert run("out", "--do_eval") == (128 + number, AT_THE_END.format(what))
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert records(tmp_path / "out", "eval") == []


def test_a_signal_outside_the_training_ends_at_once(run, in_call, tmp_path):
    in_call(run_classifier, "evaluate", signal.SIGTERM)
    assert run("out", "--do_eval") == (143, "run_classifier.py: terminated\n")
    assert records(tmp_path / "out", "eval") == []


def test_a_second_signal_while_the_model_is_saved_ends_at_once(run, in_call, tmp_path, monkeypatch):
    monkeypatch.setattr(stop_signals, "REPEAT_SECONDS", 0)
    in_call(best, "save_final", signal.SIGTERM, signal.SIGTERM)
    assert run("out") == (143, "run_classifier.py: terminated\n")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_signal_while_the_block_is_left_takes_no_word_away(run, at_step, monkeypatch):
    """Each handler that is set as the training ends gets a signal at once."""
    set_handler = signal.signal

    def set_and_raise(number, handler):
        before = set_handler(number, handler)
        if isinstance(sys.exc_info()[1], StoppedError):
            signal.raise_signal(number)
        return before

    monkeypatch.setattr(signal, "signal", set_and_raise)
    at_step(3, signal.SIGTERM)
    assert run("out") == (143, STOPPED.format("terminated", 3, 3))


def test_a_damaged_checkpoint_of_the_last_step_is_none(run, at_step, tmp_path):
    at_step(3, signal.SIGTERM)
    assert run("out", "--save_steps=1")[0] == 143
    for step in (2, 3):
        (tmp_path / "out" / f"checkpoint-{step}" / "config.json").write_text("{}")
    (tmp_path / "out" / "checkpoint-2" / "config.json").unlink()
    at_step(3, signal.SIGTERM)
    assert run("out", "--resume") == (143, STOPPED.format("terminated", 3, 3))
    assert newest_checkpoint(tmp_path / "out").name == "checkpoint-3"


def test_processes_that_build_batches_finish_the_step_too(run, tmp_path, monkeypatch):
    """A terminal and torchrun send a signal to the whole group."""
    forward_backward = TrainingState.forward_backward

    def signal_and_compute(state, step):
        if step.global_step == 3:
            os.killpg(0, signal.SIGINT)
            os.killpg(0, signal.SIGTERM)
        return forward_backward(state, step)

    monkeypatch.setattr(TrainingState, "forward_backward", signal_and_compute)

    def action():
        os.setpgid(0, 0)
        return run("out", "--workers=2", "--gradient_accumulation_steps=4", "--batch_size=2")[0]

    assert statuses([fork(action)])[0] in (130, 143)
    assert (tmp_path / "out" / "checkpoint-3").is_dir()


def test_an_ignored_signal_stays_ignored():
    """As Ctrl-C is for a job that a shell put in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals(Processes()) as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.is_asked()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def two(common, tmp_path, monkeypatch):
    """Call run_classifier.py in two processes; a signal comes to some ranks in a step of theirs."""
    monkeypatch.chdir(tmp_path)

    def call(folder, *flags, number=signal.SIGTERM, ranks=(), step=3, where="forward_backward"):
        def prepare(rank):
            method = getattr(TrainingState, where)

            def with_signal(state, *args):
                if rank in ranks and state.global_step == step:
                    os.kill(os.getpid(), number)
                return method(state, *args)

            setattr(TrainingState, where, with_signal)

        words = [*common, "--batch_size=4", *flags, "--output_dir", folder]
        return run_together([words, words], tmp_path, prepare)

    return call


def test_two_processes_that_a_signal_stops_go_on_as_if_it_had_not(two, tmp_path):
    assert [status for status, *_ in two("whole")] == [0, 0]
    for step, ranks, number in (
        (0, (1,), signal.SIGINT),
        (2, (0,), signal.SIGTERM),
        (4, (0, 1), 15),
    ):
        first, second = two("out", "--resume", ranks=ranks, step=step, number=number)
        assert first[0] == second[0] == 128 + number, (first, second)
        *_, done = sorted(int(f.name[11:]) for f in (tmp_path / "out").glob("checkpoint-*"))
        assert done - step in (1, 2)
        what = "interrupted" if number == signal.SIGINT else "terminated"
        assert first[2] == STOPPED.format(what, done, done)
        assert second[2] == ""
    assert [status for status, *_ in two("out", "--resume")] == [0, 0]
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert losses(tmp_path / "out") == losses(tmp_path / "whole")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_cuts_the_evaluation_of_both_short(
    two, tmp_path, monkeypatch, rank
):
    batch_logits = scoring.batch_logits

    def slow(*args):
        for logits in batch_logits(*args):
            time.sleep(0.3)
            yield logits

    monkeypatch.setattr(scoring, "batch_logits", slow)
    flags = ("--do_eval", "--eval_steps=3", "--eval_batch_size=1", "--padding=max_length")
    first, second = two("out", *flags, ranks=(rank,), where="fp32_model")
    assert first[0] == second[0] == 143, (first, second)
    assert first[2] == STOPPED.format("terminated", 3, 3)
    assert records(tmp_path / "out", "eval") == []


def test_a_process_that_is_killed_leaves_the_other_no_time_to_save(two):
    first, second = two("out", ranks=(1,), number=signal.SIGKILL)
    assert second[0] == -signal.SIGKILL
    assert first[0] == 1
    assert "checkpoint" not in first[2]
