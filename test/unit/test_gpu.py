"""The precisions on a CUDA device, against fp32 there."""

import json
import shutil

import numpy as np
import pytest
import torch
from graphed import FAULTS, O2, OVERFLOWS, PRECISIONS, Training, assert_same
from helpers import write_sst2
from scored import FAULTS as FAULTS_OF_SCORING
from scored import Scored

from processors.loading import common_batches
from tools.bench.host_reads import HostReads
from tools.machine.device import Device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

FP16 = ("--fp16", "--amp_backend", "native", "--fp16_opt_level")
FLAGS = ("--do_train", "--do_eval", "--device", "cuda", "--batch_size", "8", "--max_steps", "30",
         "--learning_rate", "5e-3", "--max_seq_length", "32", "--save_steps", "15")  # fmt: skip


def losses(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["event"] == "step"]


@pytest.mark.parametrize(
    ("flags", "words", "tolerance"),
    [
        ((*FP16, "O0"), "precision = fp32", 1e-4),
        ((*FP16, "O1"), "fp16 autocast and loss scaling (O1", 2e-2),
        ((*FP16, "O2"), "fp32 master copies (O2", 2e-2),
        (("--bf16",), "bf16 autocast", 5e-2),
    ],
)
def test_the_losses_follow_those_of_fp32(
    run_classifier, no_dropout, tmp_path, flags, words, tolerance
):
    own = (*FLAGS, "--data_dir", write_sst2(tmp_path / "data"), "--model_name_or_path", no_dropout)
    plain = run_classifier(*own, "--output_dir", "plain")
    assert plain.returncode == 0, plain.stderr
    mixed = run_classifier(*own, "--output_dir", "mixed", *flags)
    assert mixed.returncode == 0, mixed.stderr
    assert words in mixed.stdout
    assert losses(tmp_path / "mixed") == pytest.approx(losses(tmp_path / "plain"), abs=tolerance)


def test_a_run_on_a_gpu_learns_what_one_on_the_cpu_does(run_classifier, no_dropout, tmp_path):
    own = (*FLAGS, "--data_dir", write_sst2(tmp_path / "data"), "--model_name_or_path", no_dropout)
    for device in ("cpu", "cuda"):
        result = run_classifier(*own, "--output_dir", device, "--device", device)
        assert result.returncode == 0, result.stderr
    # The GPU's matrix products are TF32.
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), abs=1e-2)


def test_a_stopped_run_goes_on_in_fp16(run_classifier, no_dropout, tmp_path):

    own = (*FLAGS, "--data_dir", write_sst2(tmp_path / "data"), "--model_name_or_path", no_dropout)
    straight = run_classifier(*own, *FP16, "O2", "--output_dir", "run")
    assert straight.returncode == 0, straight.stderr
    before = losses(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-30")
    resumed = run_classifier(*own, *FP16, "O2", "--output_dir", "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "done = 15" in resumed.stdout
    assert losses(tmp_path / "run") == pytest.approx(before, abs=1e-3)


@pytest.fixture(scope="module")
def cuda():
    device = Device("cuda", 0)
    stream = torch.cuda.current_stream()
    device.activate()
    yield device
    torch.cuda.set_stream(stream)


@pytest.mark.parametrize(
    ("task", "fused_kernels"), [("sst-2", "off"), ("sts-b", "off"), ("sst-2", "on")]
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_take_the_steps_of_the_loop(tokenizer, cuda, precision, task, fused_kernels):
    """To the bit, with dropout, masks, accumulation, and overflows."""
    own = {"task": task, "accumulation": 2, "device": cuda, **PRECISIONS[precision]}
    own["fused_kernels"] = fused_kernels
    overflows = OVERFLOWS if precision.startswith("O") else ()
    plain = Training(tokenizer, "off", **own).go_on(overflows=overflows)
    graphed = Training(tokenizer, "auto", **own).go_on(overflows=overflows)
    assert graphed.state.graphs.count > 1
    assert_same(graphed, plain)
    assert graphed.state.precision.skipped_steps == plain.state.precision.skipped_steps
    assert graphed.state.precision.loss_scale() == plain.state.precision.loss_scale()


@pytest.mark.parametrize("precision", ["bf16", "O2"])
def test_adamw_is_graphed_too(tokenizer, cuda, precision):
    own = {"optimizer": "adamw", "device": cuda, **PRECISIONS[precision]}
    plain = Training(tokenizer, "off", **own).go_on()
    graphed = Training(tokenizer, "auto", **own).go_on()
    torch.testing.assert_close(graphed.losses, plain.losses, atol=2e-2, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "O2"])
def test_a_warm_up_changes_nothing(tokenizer, cuda, precision):
    own = {"padding": "max_length", "device": cuda, **PRECISIONS[precision]}
    plain = Training(tokenizer, "auto", **own).go_on()
    warm = Training(tokenizer, "auto", **own)
    warm.state.warm_up(common_batches(warm.plan, warm.features, warm.device))
    assert warm.state.graphs.count
    assert_same(warm.go_on(), plain)


def test_copies_to_the_host_count_as_reads(cuda):
    numbers = torch.ones(3, device=cuda.torch_device)
    kept = torch.empty(3)
    with HostReads(cuda.torch_device) as reads:
        numbers.cpu(), kept.copy_(numbers), numbers.nonzero()
        numbers.to(torch.float16), numbers.clone(), numbers.copy_(kept)
    assert reads.count == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_a_graph_would_hide_is_found(tokenizer, cuda, fault):
    """A rate of the host, a batch or a mask that is not copied, a skip that is dropped."""
    own = O2 | {"device": cuda, "padding": "max_length"}  # One shape, so that its graph is used.
    plain = Training(tokenizer, "off", **own).go_on(overflows=OVERFLOWS)
    graphed = Training(tokenizer, "auto", **own)
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[fault](graphed, patch)
        graphed.go_on(overflows=OVERFLOWS)
    with pytest.raises(AssertionError):
        assert_same(graphed, plain)


@pytest.mark.parametrize("fused_kernels", ["off", "on"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_graphs_have_the_outputs_of_the_loop_between_steps(
    tokenizer, cuda, precision, fused_kernels
):
    scored = Scored(tokenizer, precision, device=cuda, fused_kernels=fused_kernels)
    outputs = []
    for step in range(4):
        scored.training.go_on(until=step)
        outputs.append(scored.logits(scored.inference))
        assert np.array_equal(outputs[-1], scored.logits())
    assert scored.graphs.count == len(scored.counts())
    assert not np.array_equal(*outputs[-2:])
    with pytest.MonkeyPatch.context() as patch:
        FAULTS_OF_SCORING["a stale batch"](scored, patch)
        assert not scored.is_the_same()


def test_a_graphed_run_that_was_stopped_ends_as_one_that_was_not(
    run_classifier, pretrained, tmp_path
):
    own = (*FLAGS, "--bf16", "--cuda_graphs", "on", "--fused_kernels", "on")
    own += ("--data_dir", write_sst2(tmp_path / "data"))
    own += ("--model_name_or_path", pretrained, "--output_dir", "run")
    straight = run_classifier(*own)
    assert straight.returncode == 0, straight.stderr
    assert "CUDA graphs: " in straight.stdout
    before = losses(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-30")
    resumed = run_classifier(*own, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "done = 15" in resumed.stdout
    assert losses(tmp_path / "run") == before
