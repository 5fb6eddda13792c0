"""A training that came to nothing ends with one line, and leaves no model that looks like a result."""

import pytest

from tools.precision.base import Fp32
from tools.run.training import TrainingState


def test_a_run_in_which_every_step_overflowed_ends_with_an_error(
    refused, sst2, tmp_path, monkeypatch
):
    def skip(self, max_norm=0.0):
        self.optimizer.zero_grad()
        self.skipped_steps += 1
        return False

    monkeypatch.setattr(Fp32, "step", skip)
    line = refused("--do_train", "--max_steps=3", "--data_dir", sst2, "--output_dir=out", status=1)
    assert "each of the 3 steps overflowed in fp16, so that no weight changed" in line
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (1, "at the first step: the weights that the training starts from"),
        (2, "at step 2: try a lower"),
    ],
)
def test_a_loss_that_is_no_number_is_said_with_its_likely_reason(
    refused, sst2, monkeypatch, step, words
):
    forward_backward = TrainingState.forward_backward

    def diverge(state, training_step):
        loss = forward_backward(state, training_step)
        return loss * float("nan") if training_step.global_step == step else loss

    monkeypatch.setattr(TrainingState, "forward_backward", diverge)
    line = refused("--do_train", "--max_steps=3", "--data_dir", sst2, "--output_dir=out", status=1)
    assert f"the loss is nan {words}" in line
