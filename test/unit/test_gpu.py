"""The precisions on a CUDA device, against fp32 there."""

import json
import shutil

import pytest
import torch
from helpers import write_sst2

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
