"""A step that overflows is not a step, and the scaled loss gives the unscaled update."""

import pytest
import torch
from torch import nn

from tools.device import Device
from tools.precision import Autocast, FullPrecision, build_precision


class Gpu(Device):
    """A device on which --fp16 is mixed precision, though its tensors are on the CPU."""

    has_fp16 = True


def make(kind, scale="dynamic"):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if kind is FullPrecision:
        return model, FullPrecision(model, optimizer)
    return model, Autocast(model, optimizer, Device("cpu"), scale)


def step(model, precision, value=1.0):
    with precision.forward():
        loss = (
            model(torch.full((2, 4), value)).float().mean() * 0.1
        )  # small enough for the first dynamic scale
    precision.backward(loss)
    precision.clip_gradients(0.5)
    return precision.step()


@pytest.mark.parametrize("scale", ["dynamic", 128.0])
def test_autocast_takes_the_step_of_full_precision(scale):
    (plain, full), (mixed, autocast) = make(FullPrecision), make(Autocast, scale)
    for _ in range(3):
        assert step(plain, full)
        assert step(mixed, autocast)
    torch.testing.assert_close(mixed.weight, plain.weight, atol=1e-3, rtol=1e-3)
    assert mixed.weight.dtype == torch.float32
    assert mixed.weight.grad is None


@pytest.mark.parametrize("scale", ["dynamic", 128.0])
def test_a_step_that_overflows_is_skipped_and_said_so(scale):
    model, precision = make(Autocast, scale)
    before = model.weight.detach().clone()
    scale_before = precision.state_dict()["scale"]
    assert step(model, precision, value=float("inf")) is False
    assert torch.equal(model.weight.detach(), before)
    scale_after = precision.state_dict()["scale"]
    assert scale_after == (scale_before if scale == 128.0 else scale_before / 2)
    assert step(model, precision) is True


def test_autocast_state_is_kept():
    model, precision = make(Autocast)
    step(model, precision, value=float("inf"))
    _, other = make(Autocast)
    other.load_state_dict(precision.state_dict())
    assert other.state_dict() == precision.state_dict()


def test_gradients_are_clipped_to_the_norm():
    model, precision = make(FullPrecision)
    precision.backward(model(torch.full((1, 4), 100.0)).sum())
    precision.clip_gradients(1.0)
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert norm.item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("fp16", "level", "kind", "words"),
    [
        (False, "O2", FullPrecision, "fp32"),
        (True, "O0", FullPrecision, "fp32"),
        (True, "O1", Autocast, "fp16 autocast"),
        (True, "O2", Autocast, "O2 needs apex"),
    ],
)
def test_what_the_flags_mean_is_said(fp16, level, kind, words):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    precision = build_precision(model, optimizer, Gpu("cpu"), fp16, level)
    assert type(precision) is kind
    assert words in precision.description


def test_fp16_on_a_cpu_is_fp32_and_said_so():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    precision = build_precision(model, optimizer, Device("cpu"), fp16=True)
    assert type(precision) is FullPrecision
    assert "--fp16 has no effect on a CPU" in precision.description
