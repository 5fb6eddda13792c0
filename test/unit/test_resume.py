"""A run is resumed with what it had: each flag of the training is compared, or may change for a reason."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import fields, replace

import pytest
import torch
from helpers import write_sst2
from safetensors.torch import load_file

import run_classifier
from callback.checkpointing import checkpoint_step, find_checkpoints
from model.files import digest
from tools.cli.errors import UsageError
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.run.flags import TrainingFlags, parse_flags
from tools.run.resume import MAY_CHANGE, Settings

# Another value of every flag than the run below has.
CHANGED = {
    "batch_size": 16,
    "padding": "longest",
    "drop_last": True,
    "gradient_accumulation_steps": 2,
    "optimizer": "adamw",
    "lr_schedule": "cosine",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 0.5,
    "class_weights": "balanced",
    "label_smoothing": 0.1,
    "num_train_epochs": 2.0,
    "max_steps": 9,
    "warmup_proportion": 0.2,
    "stop_point": 0.99,
    "seed": 43,
    "gradient_checkpointing": True,
    "torch_compile": True,
    "cuda_graphs": "auto",
    "fused_kernels": "auto",
    "fp16": True,
    "fp16_opt_level": "O2",
    "amp_backend": "native",
    "bf16": True,
    "loss_scale": 128.0,
}


def stay_in_this_process(patch):
    """Have a run take this process as it is, whose log handlers stay as they are."""
    runtime = Runtime(Device("cpu"), Processes())
    patch.setattr(run_classifier, "start_runtime", lambda *_, **__: nullcontext(runtime))


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    stay_in_this_process(monkeypatch)


@pytest.fixture(scope="module")
def trained(pretrained, tmp_path_factory):
    """The flags of a run of eight steps, with a checkpoint after four of them; it has run."""
    return run_eight_steps(pretrained, tmp_path_factory)


@pytest.fixture(scope="module")
def trained_with_fp16(pretrained, tmp_path_factory):
    return run_eight_steps(pretrained, tmp_path_factory, "--fp16")


# These say nothing without --fp16.
OF_FP16 = ("fp16_opt_level", "amp_backend", "loss_scale")


@pytest.fixture
def comparable(request, name):
    """A run as ``trained``, in which another value of the flag ``name`` means something."""
    return request.getfixturevalue("trained_with_fp16" if name in OF_FP16 else "trained")


def run_eight_steps(pretrained, tmp_path_factory, *others):
    folder = tmp_path_factory.mktemp("resume")
    words = ["--task_name=sst-2", "--do_train", "--do_eval", "--max_steps=8", "--save_steps=4"]
    words += ["--num_train_epochs=1", "--max_seq_length=32", "--learning_rate=1e-3"]
    words += ["--data_dir", write_sst2(folder / "SST-2", train=64, dev=8)]
    words += ["--model_name_or_path", pretrained, "--output_dir", folder / "out", *others]
    flags = parse_flags([str(word) for word in words])
    with pytest.MonkeyPatch.context() as patch:
        stay_in_this_process(patch)
        run_classifier.main(flags)
    return flags


def resume(trained, folder, **changes):
    """Go on from the run's checkpoint, in a copy of its folder, with other flags of the training."""
    shutil.copytree(trained.records.output_dir, folder)
    for beyond in ("checkpoint-8", "model.safetensors"):
        path = folder / beyond
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    records = replace(trained.records, output_dir=folder, resume=True)
    training = replace(trained.training, **changes)
    run_classifier.main(replace(trained, records=records, training=training))


def test_every_flag_of_the_training_is_tried():
    names = [field.name for field in fields(TrainingFlags)]
    assert sorted(CHANGED) == sorted(names)
    assert set(MAY_CHANGE) < set(names)
    assert all(MAY_CHANGE.values())


MAY_NOT_CHANGE = [
    pytest.param(name, marks=pytest.mark.newer_torch("is not for torch.compile"))
    if name == "torch_compile"
    else name
    for name in sorted(CHANGED.keys() - MAY_CHANGE.keys())
]


@pytest.mark.parametrize("name", MAY_NOT_CHANGE)
def test_a_changed_flag_is_refused_by_its_name(comparable, tmp_path, name):
    was, now = getattr(comparable.training, name), CHANGED[name]
    words = f"--resume: .*checkpoint-4 is of another run: {name} was {was} there and is {now} now"
    with pytest.raises(UsageError, match=words):
        resume(comparable, tmp_path / "out", **{name: now})
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("name", sorted(MAY_CHANGE.keys() - {"batch_size"}))
def test_what_may_change_changes_nothing_that_is_learned(comparable, tmp_path, name):
    resume(comparable, tmp_path / "out", **{name: CHANGED[name]})
    weights = comparable.records.output_dir / "model.safetensors"
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights.read_bytes()


def test_a_run_with_bf16_weights_goes_on_to_the_bit(pretrained, tmp_path_factory, tmp_path):
    """Its checkpoint has the fp32 weights, of which the network's are roundings."""
    flags = run_eight_steps(pretrained, tmp_path_factory, "--bf16", "--fp16_opt_level=O2")
    resume(flags, tmp_path / "out")
    ends = [folder / "model.safetensors" for folder in (flags.records.output_dir, tmp_path / "out")]
    assert ends[0].read_bytes() == ends[1].read_bytes()
    weights = load_file(ends[0]).values()
    assert {tensor.dtype for tensor in weights} == {torch.float32}
    assert any((tensor != tensor.bfloat16()).any() for tensor in weights)


def test_a_checkpoint_of_another_version_is_refused(trained, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(trained.records.output_dir, old)
    state = old / "checkpoint-4" / "training_state.pt"
    torch.save({"step": 4, "parts": {}}, state)
    manifest = json.loads((old / "checkpoint-4" / "manifest.json").read_text())
    manifest["sha256"]["training_state.pt"] = digest(state)
    (old / "checkpoint-4" / "manifest.json").write_text(json.dumps(manifest))
    flags = replace(trained, records=replace(trained.records, output_dir=old))
    words = "checkpoint-4 was written by another version of this project: .* --overwrite_output_dir"
    with pytest.raises(UsageError, match=words):
        resume(flags, tmp_path / "out")


def test_the_files_of_a_custom_task_are_recorded():
    words = ["--task_name=custom", "--do_train", "--train_file=mine.csv", "--text_columns=a,b"]
    recorded = parse_flags(words).as_dict()
    assert recorded["train_file"] == "mine.csv"
    assert recorded["text_columns"] == ("a", "b")
    assert recorded["splits"] == ["train"]


def test_another_batch_size_must_make_the_same_global_batch(trained, tmp_path):
    """That two processes of half the batch go on is a test of test_processes.py."""
    with pytest.raises(UsageError, match="global batch was 8 there and is 16 now"):
        resume(trained, tmp_path / "out", batch_size=16)


def test_classes_and_data_are_compared_too(trained, tmp_path, pretrained):
    data = write_sst2(tmp_path / "SST-2", train=72, dev=8)
    flags = replace(trained, inputs=replace(trained.inputs, data_dir=data))
    with pytest.raises(UsageError, match="training examples was 64 there and is 72 now"):
        resume(flags, tmp_path / "out")


def test_the_state_of_a_checkpoint_is_read_once(trained, tmp_path, monkeypatch):
    read = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda file, **how: read.append(file) or load(file, **how))
    resume(trained, tmp_path / "out")
    assert [file.name for file in read] == ["training_state.pt"]


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_build_batches_change_nothing_that_is_learned(trained, tmp_path, workers):
    """The run has dropout, and none of its random numbers goes to the loader."""
    flags = replace(trained, machine=replace(trained.machine, workers=workers))
    run_classifier.main(
        replace(flags, records=replace(trained.records, output_dir=tmp_path / "whole"))
    )
    resume(flags, tmp_path / "resumed")
    weights = (trained.records.output_dir / "model.safetensors").read_bytes()
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "resumed" / "model.safetensors").read_bytes() == weights


def test_a_constant_schedule_may_go_on_for_longer(pretrained, tmp_path, tmp_path_factory):
    flags = run_eight_steps(
        pretrained, tmp_path_factory, "--lr_schedule=constant", "--warmup_proportion=0"
    )
    longer = replace(flags.training, max_steps=-1, num_train_epochs=1.5)  # These are twelve steps.
    whole = replace(flags.records, output_dir=tmp_path / "whole")
    run_classifier.main(replace(flags, training=longer, records=whole))
    weights = (tmp_path / "whole" / "model.safetensors").read_bytes()
    further = replace(flags.records, resume=True)
    run_classifier.main(replace(flags, training=longer, records=further))
    assert (flags.records.output_dir / "model.safetensors").read_bytes() == weights

    with pytest.raises(
        UsageError, match="max_steps was -1 there and is 7 now, but 12 steps are done"
    ):
        run_classifier.main(replace(flags, training=replace(longer, max_steps=7), records=further))
    with pytest.raises(UsageError, match="seed was 42 there and is 1 now: resume it"):
        run_classifier.main(
            replace(flags, training=replace(longer, max_steps=20, seed=1), records=further)
        )

    # Without the last checkpoint a shorter run would go on, and its model take the place of this one.
    for checkpoint in find_checkpoints(flags.records.output_dir):
        if checkpoint_step(checkpoint) > 8:
            shutil.rmtree(checkpoint)
    with pytest.raises(UsageError, match="was trained for 12 steps, and one of 8 would take its"):
        run_classifier.main(replace(flags, records=further))
    run_classifier.main(replace(flags, training=longer, records=further))
    assert (flags.records.output_dir / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (
            "linear",
            "2.0 now, on which the rates of --lr_schedule linear depend .* --model_name_or_path",
        ),
        ("constant", "but its warm-up would be 5 steps, of which only 4 are done"),
    ],
)
def test_why_a_run_does_not_go_on_for_longer(schedule, words):
    values = {"lr_schedule": schedule, "warmup_proportion": 0.25, "max_steps": -1}
    then = Settings({**values, "num_train_epochs": 1.0, "optimizer steps": 10})
    now = Settings({**values, "num_train_epochs": 2.0, "optimizer steps": 20})
    now.check(now.state_dict(), 4, 4)
    with pytest.raises(ValueError, match=f"num_train_epochs was 1.0 there and is .*{words}"):
        now.check(then.state_dict(), 4, 4)


def test_the_ways_to_train_a_finished_model_further_are_named(refused, sst2, pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "out")
    remedy = (
        "; --model_name_or_path out with another --output_dir trains its model further, with other"
    )
    flags = ("--data_dir", sst2, "--output_dir=out", "--do_train")
    line = refused(*flags, status=2)
    assert "out holds an earlier run: " in line
    assert remedy in line
    line = refused(*flags, "--resume", status=2)
    assert "no whole checkpoint to go on from: --overwrite_output_dir trains anew" in line
    assert remedy in line
