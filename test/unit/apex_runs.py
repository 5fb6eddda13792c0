"""What this project does with apex on an NPU: test_apex.py runs this file as it runs apex_checks.py."""

import io

import pytest
import torch
from apex_state import forget, one_initialization  # noqa: F401 (every test uses the second)
from small_albert import small_albert
from torch import nn

from callback.optimization import Lamb, build_optimizer
from tools.machine.device import Device
from tools.precision.apex import ApexAmp
from tools.precision.base import LEAST_SCALE, MOST_SKIPS

NPU = torch.device("npu:0")
DEVICE = Device("npu")

levels = pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])


def batch(step, device=NPU):
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(1, 50, (4, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([[9], [5], [7], [2]])).long()
    labels = torch.randint(0, 2, (4,), generator=generator)
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: tensor.to(device) for name, tensor in tensors.items()}


class WatchedLamb(Lamb):
    """LAMB that keeps the norm of the gradients it is given."""

    def step(self, closure=None):
        groups = self.param_groups
        gradients = [p.grad for g in groups for p in g["params"] if p.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
        self.norms = [*getattr(self, "norms", []), norm]
        return super().step(closure)


def precision_at(level, scale="dynamic"):
    model = DEVICE.place(small_albert())
    optimizer = WatchedLamb(model.parameters(), lr=1e-2, eps=1e-3)
    return ApexAmp(model, optimizer, DEVICE, level, scale)


def train_step(precision, step, micro=1, factor=1.0):
    for part in range(micro):
        with precision.forward():
            loss = precision.model(**batch(step * micro + part)).loss / micro
        precision.backward(loss * factor, last=part == micro - 1)
    return precision.step(1.0)


def trained_on_the_cpu(steps, micro=1):
    model = small_albert()
    optimizer = WatchedLamb(model.parameters(), lr=1e-2, eps=1e-3)
    for step in range(steps):
        for part in range(micro):
            (model(**batch(step * micro + part, "cpu")).loss / micro).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer.norms


def state_of(model):
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("micro", [1, 2])
@levels
def test_a_run_learns_what_it_learns_in_fp32_on_the_cpu(level, micro):
    precision = precision_at(level, scale=128.0 if level == "O3" else "dynamic")
    results = [train_step(precision, step, micro) for step in range(6)]
    plain, norms = trained_on_the_cpu(6, micro)
    assert results == [True] * 6
    tolerance = {"O0": 1e-5, "O3": 2e-1}.get(level, 2e-2)
    assert precision.optimizer.norms == pytest.approx(norms, abs=tolerance)
    ours = state_of(precision.fp32_model())
    for name, weight in state_of(plain).items():
        torch.testing.assert_close(ours[name], weight, atol=tolerance, rtol=0)


@pytest.mark.parametrize("overflows", [0, 1])
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_an_overflow_in_any_micro_batch_skips_the_step(level, overflows):
    precision = precision_at(level)
    train_step(precision, 0, 2)
    before = state_of(precision.fp32_model())
    for part in range(2):
        with precision.forward():
            loss = precision.model(**batch(part)).loss
        # Past the scale no number of fp32's is left, so that it overflows where fp32 does, too.
        precision.backward(loss * (3e38 if part == overflows else 1.0), last=part == 1)
    assert precision.step(1.0) is False
    assert precision.skipped_steps == 1
    assert precision.loss_scale() == 2.0**15
    after = state_of(precision.fp32_model())
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert train_step(precision, 1, 2) is True


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_steps_skipped_without_end_leave_a_loss_scale_and_end_the_run(level):
    precision = precision_at(level)
    for step in range(MOST_SKIPS - 1):
        assert train_step(precision, step, factor=float("inf")) is False
    assert precision.loss_scale() == LEAST_SCALE
    with pytest.raises(
        ValueError, match="50 steps in a row overflowed in fp16, down to a loss scale"
    ):
        train_step(precision, MOST_SKIPS, factor=float("inf"))


@levels
def test_a_run_goes_on_from_its_state_bit_for_bit(level):
    straight = precision_at(level)
    for step in range(3):
        train_step(straight, step)
    state = {
        "precision": straight.state_dict(),
        "optimizer": straight.optimizer.state_dict(),
        "model": state_of(straight.fp32_model()),
    }
    torch.save(state, file := io.BytesIO())
    file.seek(0)
    saved = torch.load(file, map_location="cpu")
    for step in range(3, 6):
        train_step(straight, step)
    wanted = state_of(straight.fp32_model())

    forget()
    model = small_albert()
    model.load_state_dict(saved["model"])
    optimizer = Lamb(DEVICE.place(model).parameters(), lr=1e-2, eps=1e-3)
    resumed = ApexAmp(model, optimizer, DEVICE, level, "dynamic")
    optimizer.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["precision"])
    for step in range(3, 6):
        train_step(resumed, step)
    found = state_of(resumed.fp32_model())
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_masters_start_from_the_weights_last_bits():
    precision = precision_at("O2")
    original = state_of(small_albert())
    found = state_of(precision.fp32_model())
    assert all(torch.equal(found[name], original[name]) for name in original)
    assert any(not torch.equal(w, w.half().float()) for w in original.values())


def test_evaluation_is_fp32_before_and_after_steps_at_o1():
    precision = precision_at("O1")
    for step in range(2):
        model = precision.fp32_model()
        with torch.no_grad():
            assert model(**batch(step)).logits.dtype == torch.float32
        with precision.forward():
            assert precision.model(**batch(step)).logits.dtype == torch.float16
        train_step(precision, step)


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_apexs_own_fused_lamb_is_our_rule(level):
    model = DEVICE.place(small_albert())
    optimizer = build_optimizer("npu_fused_lamb", model, 1e-2, 1e-3, 0.0)
    precision = ApexAmp(model, optimizer, DEVICE, level, "dynamic")
    for step in range(6):
        assert train_step(precision, step) is True
    found, wanted = state_of(precision.fp32_model()), state_of(trained_on_the_cpu(6)[0])
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, atol=2e-2, rtol=0)


def test_apexs_own_fused_lamb_is_for_o1_and_o2():
    model = DEVICE.place(small_albert())
    optimizer = build_optimizer("npu_fused_lamb", model, 1e-2, 1e-3, 0.0)
    with pytest.raises(RuntimeError, match="npu fused optimizer can only be used"):
        ApexAmp(model, optimizer, DEVICE, "O3", "dynamic")
