"""What apex does on an NPU: test_apex.py runs this file.

It runs on the double of apex and, where they are to be had, on the Python sources of Ascend's apex and of
torch_npu: so the double does what they do. The device is the simulated one either way.
"""

from contextlib import nullcontext

import pytest
import torch
from apex import amp
from apex_state import one_initialization  # noqa: F401 (every test uses it)
from torch import nn

NPU = torch.device("npu:0")
LEVELS = ("O0", "O1", "O2", "O3")
JOINED = {"combine_grad": True}
WAYS = [("O0", {}), ("O1", {}), ("O1", JOINED), ("O2", {}), ("O2", JOINED), ("O3", {})]
TOLERANCE = {"O0": 1e-6, "O1": 2e-2, "O2": 2e-2, "O3": 2e-2}

levels = pytest.mark.parametrize("level", LEVELS)
ways = pytest.mark.parametrize(("level", "options"), WAYS)


class Watched(torch.optim.SGD):
    """Plain descent that keeps the gradients it is given."""

    def __init__(self, parameters, lr=0.5):
        super().__init__(parameters, lr=lr)
        self.seen = []

    def step(self, closure=None):
        groups = self.param_groups
        self.seen.append([p.grad.float().cpu() for g in groups for p in g["params"]])
        return super().step(closure)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def start(level, scale=128.0, **options):
    model = small_network().to(NPU)
    optimizer = Watched(model.parameters())
    return amp.initialize(
        model, optimizer, opt_level=level, loss_scale=scale, verbosity=0, **options
    )


def numbers(step, rows=2):
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(step))


def loss_of(model, step, factor=1.0):
    device = next(model.parameters()).device
    return model(numbers(step).to(device)).float().pow(2).mean() * factor


def backward(model, optimizer, step, factor=1.0, **options):
    with amp.scale_loss(loss_of(model, step, factor), optimizer, **options) as scaled:
        scaled.backward()


def weights_of(model):
    return [p.detach().float().cpu().clone() for p in model.parameters()]


def fp32(level):
    return amp.disable_casts() if level == "O1" else nullcontext()


def true_gradients(level, model, *steps):
    """Return the gradients, in fp32 on the CPU, of the model as it is."""
    plain = small_network()
    with torch.no_grad():
        for own, other in zip(plain.parameters(), weights_of(model), strict=True):
            own.copy_(other)
    with fp32(level):
        sum(loss_of(plain, step) for step in steps).backward()
    return [p.grad for p in plain.parameters()]


def assert_gradients(found, wanted, level):
    for own, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, other, atol=TOLERANCE[level], rtol=TOLERANCE[level])


@ways
def test_each_step_sees_the_gradient_of_that_step(level, options):
    model, optimizer = start(level, **options)
    for step in range(6):
        wanted = true_gradients(level, model, step)
        backward(model, optimizer, step)
        optimizer.step()
        optimizer.zero_grad()
        assert_gradients(optimizer.seen[-1], wanted, level)
    plain = small_network()
    descent = torch.optim.SGD(plain.parameters(), lr=0.5)
    with fp32(level):
        for step in range(6):
            loss_of(plain, step).backward()
            descent.step()
            descent.zero_grad(set_to_none=False)
    assert_gradients(weights_of(model), weights_of(plain), level)


@pytest.mark.parametrize("delay", [True, False])
@ways
def test_two_backward_passes_add_up(level, options, delay):
    model, optimizer = start(level, **options)
    for step in range(0, 6, 2):
        wanted = true_gradients(level, model, step, step + 1)
        optimizer.zero_grad()
        backward(model, optimizer, step, delay_unscale=delay)
        backward(model, optimizer, step + 1)
        optimizer.step()
        assert_gradients(optimizer.seen[-1], wanted, level)


@ways
def test_an_overflow_skips_one_step_and_halves_the_scale(level, options, capsys):
    model, optimizer = start(level, "dynamic", **options)
    for step, factor in enumerate([1e-2, 3e38, 1e-2]):
        optimizer.zero_grad()
        before = weights_of(model)
        backward(model, optimizer, step, factor)
        optimizer.step()
        same = all(map(torch.equal, before, weights_of(model)))
        assert same is (factor > 1)
    assert len(optimizer.seen) == 2
    assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 2.0**15, "unskipped": 1}}
    wanted = [1e-2 * g for g in true_gradients(level, model, 3)]
    optimizer.zero_grad()
    backward(model, optimizer, 3, 1e-2)
    optimizer.step()
    assert_gradients(optimizer.seen[-1], wanted, level)


@ways
def test_a_fixed_scale_skips_nothing(level, options):
    model, optimizer = start(level, 8.0, **options)
    backward(model, optimizer, 0, 3e38)
    optimizer.step()
    assert len(optimizer.seen) == 1
    assert amp.state_dict()["loss_scaler0"]["loss_scale"] == 8.0


@levels
def test_weights_and_masters_have_their_dtypes(level):
    model, optimizer = start(level)
    backward(model, optimizer, 0)
    optimizer.step()
    half = torch.float16 if level in ("O2", "O3") else torch.float32
    masters = torch.float16 if level == "O3" else torch.float32
    assert {p.dtype for p in model.parameters()} == {half}
    assert {p.dtype for p in amp.master_params(optimizer)} == {masters}
    output = torch.float16 if level == "O1" else torch.float32
    assert model(numbers(0).to(NPU)).dtype == output
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_casts_stop_only_where_there_are_any_and_start_after_each_step():
    model, optimizer = start("O1")
    x = torch.ones(2, 2, device=NPU)
    assert (x @ x).dtype == torch.float16
    with amp.disable_casts():
        assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float16
    with amp.disable_casts():
        backward(model, optimizer, 0)
        optimizer.step()
        assert (x @ x).dtype == torch.float16


@pytest.mark.parametrize("level", ["O0", "O2", "O3"])
def test_there_are_no_casts_to_stop_at_other_levels(level):
    start(level)
    with pytest.raises(AttributeError, match="handle"), amp.disable_casts():
        pass


@pytest.mark.parametrize("level", ["O0", "O3"])
def test_gradients_are_joined_at_o1_and_o2_alone(level):
    with pytest.raises(RuntimeError, match="combine_grad=True"):
        start(level, combine_grad=True)


def test_what_apex_refuses():
    model, optimizer = start("O2")
    with pytest.raises(RuntimeError, match=r"Found param 0.weight with type torch.npu.HalfTensor"):
        amp.initialize(model, optimizer, verbosity=0)
    with pytest.raises(RuntimeError, match="only be passed through amp.initialize once"):
        amp.initialize(nn.Linear(1, 1).to(NPU), optimizer, opt_level="O2", verbosity=0)
    with pytest.raises(RuntimeError, match="Unexpected optimization level O4"):
        amp.initialize(nn.Linear(1, 1).to(NPU), opt_level="O4", verbosity=0)
    with pytest.raises(TypeError):  # apex's zero_grad takes no argument where there are masters
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize(("level", "options"), [("O1", JOINED), ("O2", JOINED)])
def test_a_joined_gradient_that_is_dropped_is_never_unscaled_again(level, options):
    model, optimizer = start(level, **options)
    for step in range(2):
        wanted = true_gradients(level, model, step)
        for weight in model.parameters():
            weight.grad = None
        backward(model, optimizer, step)
        optimizer.step()
    with pytest.raises(AssertionError):
        assert_gradients(optimizer.seen[-1], wanted, level)
