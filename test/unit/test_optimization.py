"""LAMB follows its golden trajectory; the schedule is transformers'."""

import math
import sys
from itertools import cycle

import numpy as np
import pytest
import torch
from helpers import DATA, small_training, train, training_flags
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from callback.lr_scheduler import SCHEDULES, DeviceSchedule, build_schedule
from callback.optimization import OPTIMIZERS, Lamb, build_optimizer
from processors.glue import TASKS
from tools.machine.device import Device


@pytest.mark.parametrize("block", [0, 5])
def test_lamb_equals_its_golden_trajectory(block):
    golden = np.load(DATA / "lamb_trajectory.npz")
    lr, beta1, beta2, eps, *decays = golden["hyper"].tolist()
    weights = [nn.Parameter(torch.from_numpy(golden[f"param0/{i}"])) for i in range(len(decays))]
    groups = [{"params": [w], "weight_decay": d} for w, d in zip(weights, decays, strict=True)]
    optimizer = Lamb(groups, lr=lr, betas=(beta1, beta2), eps=eps, block=block)
    checked = 0
    for step in range(20):
        for i, weight in enumerate(weights):
            weight.grad = torch.from_numpy(golden[f"grad{step}/{i}"])
        optimizer.step()
        for i, weight in enumerate(weights):
            if f"param{step + 1}/{i}" in golden:
                expected = torch.from_numpy(golden[f"param{step + 1}/{i}"])
                torch.testing.assert_close(weight.detach(), expected, atol=1e-14, rtol=1e-12)
                checked += 1
    assert checked == 9


def test_lamb_over_one_group_equals_one_group_a_tensor():
    torch.manual_seed(0)
    start = [torch.randn(5, 3), torch.randn(4), torch.zeros(2)]
    gradients = [torch.randn(5, 3), torch.zeros(4), torch.randn(2)]
    results = []
    for split in (False, True):
        weights = [nn.Parameter(tensor.clone()) for tensor in start]
        groups = [{"params": [w]} for w in weights] if split else weights
        optimizer = Lamb(groups, lr=0.1, weight_decay=0.01)
        for _ in range(3):
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        results.append([weight.detach() for weight in weights])
    torch.testing.assert_close(results[0], results[1])


class LargestSquare(TorchDispatchMode):
    """Sees of how many numbers at most a root is taken at once."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.name().startswith(("aten::sqrt", "aten::_foreach_sqrt")):
            tensors = args[0] if isinstance(args[0], list) else args
            self.count = max(self.count, *(tensor.numel() for tensor in tensors), 0)
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("laid_out", ["in one piece", "transposed", "for graphs"])
def test_lamb_in_blocks_equals_lamb_of_whole_tensors(laid_out):
    """What has no blocks in its memory, or is for CUDA graphs, is updated as a whole."""
    torch.manual_seed(0)
    start, gradients = torch.randn(7, 3), torch.randn(3, 7, 3)
    results, largest = [], []
    for block in (0, 4):
        tensor = start.clone() if laid_out != "transposed" else start.t().contiguous().t()
        weight = nn.Parameter(tensor)
        capturable = laid_out == "for graphs"
        optimizer = Lamb([weight], lr=0.1, weight_decay=0.01, capturable=capturable, block=block)
        with LargestSquare() as seen:
            for gradient in gradients:
                weight.grad = gradient.clone()
                optimizer.step()
        results.append((weight.detach(), optimizer.state_dict()["state"][0]))
        largest.append(seen.count)
    assert largest == [21, 4 if laid_out == "in one piece" else 21]
    torch.testing.assert_close(*results)


def test_a_training_on_a_cpu_updates_in_blocks(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(Device, "update_block", 100)
    task = TASKS["sst-2"]
    model, features = small_training(task, tokenizer)
    with LargestSquare() as seen:
        train(training_flags(tmp_path, task, "--max_steps", 1), model, tokenizer, features)
    assert seen.count == 100


def test_lamb_goes_on_from_its_state():
    def make():
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(4, 3))
        return weight, Lamb([weight], lr=0.1)

    def steps(weight, optimizer, count):
        for step in range(count):
            weight.grad = torch.full_like(weight, float(step % 3) - 1)
            optimizer.step()

    straight, optimizer = make()
    steps(straight, optimizer, 3)
    steps(straight, optimizer, 3)
    first, one = make()
    steps(first, one, 3)
    second, two = make()
    with torch.no_grad():
        second.copy_(first)
    two.load_state_dict(one.state_dict())
    steps(second, two, 3)
    assert torch.equal(second, straight)


@pytest.mark.parametrize("bad", [{"lr": -1.0}, {"eps": -1.0}, {"betas": (1.0, 0.9)}])
def test_lamb_refuses_impossible_settings(bad):
    with pytest.raises(ValueError, match="LAMB"):
        Lamb([nn.Parameter(torch.zeros(1))], **bad)


@pytest.mark.parametrize("name", ["lamb", "adamw"])
def test_biases_and_layer_norms_do_not_decay(name):
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    optimizer = build_optimizer(name, model, 0.1, 1e-6, 0.01)
    decay, no_decay = optimizer.param_groups
    assert decay["params"] == [model[0].weight]
    assert no_decay["params"] == [model[0].bias, model[1].weight, model[1].bias]
    assert (decay["weight_decay"], no_decay["weight_decay"]) == (0.01, 0.0)
    assert decay["eps"] == 1e-6


@pytest.mark.parametrize(
    "name", sorted({*OPTIMIZERS} - {"npu_fused_lamb"})
)  # apex_checks.py has that
def test_every_optimizer_lowers_a_loss_under_a_schedule(name):
    if name in ("adabound", "adafactor", "lars", "lookahead", "novograd", "ralamb", "sgdw"):
        pytest.importorskip("pytorch_optimizer")
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    inputs, targets = torch.randn(16, 4), torch.randn(16, 2)
    rate = {"sgdw": 0.1}.get(name, 0.01)
    optimizer = build_optimizer(name, model, rate, 1e-6, 0.01)
    schedule = build_schedule("linear", optimizer, 3, 40)
    losses = []
    for _ in range(40):
        loss = nn.functional.mse_loss(model(inputs), targets)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    assert losses[-1] < losses[0]
    assert losses[1] == losses[0]  # the warm-up starts at a rate of 0
    optimizer.load_state_dict(optimizer.state_dict())


def weights_after(name, steps):
    """Return the start and what so many steps make of it."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2, bias=False)
    start = model.weight.detach().clone()
    optimizer = build_optimizer(name, model, 0.1, 1e-6, 0.0)
    for _ in range(steps):
        model.weight.grad = torch.randn(2, 4)
        optimizer.step()
    return start, model.weight.detach()


def test_lookahead_and_ralamb_follow_the_references_rules():
    pytest.importorskip("pytorch_optimizer")
    _, fast = weights_after("lamb", 5)
    torch.testing.assert_close(weights_after("lookahead", 5)[1], fast)
    start, fast = weights_after("lamb", 6)
    torch.testing.assert_close(weights_after("lookahead", 6)[1], (start + fast) / 2)
    # Its first steps are along the gradient, not none.
    start, moved = weights_after("ralamb", 1)
    assert not torch.equal(start, moved)


def test_the_references_optimizers_are_there():
    names = "adabound adafactor lars lookahead nadam novograd plainradam radam ralamb sgdw"
    assert {"lamb", "npu_fused_lamb", "adamw", *names.split()} == set(OPTIMIZERS)


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    remedy = "-r requirements-optional.txt"
    with pytest.raises(ModuleNotFoundError, match=f"--optimizer lars .* {remedy}"):
        build_optimizer("lars", nn.Linear(2, 1), 0.1, 1e-6, 0.0)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 10, 100])
def test_schedules_equal_transformers(name, warmup):
    transformers = pytest.importorskip("transformers")
    peer = {
        "linear": lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, 100),
        "constant": lambda o: transformers.get_constant_schedule_with_warmup(o, warmup),
        "cosine": lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, 100),
        "cosine_with_restarts": lambda o: (
            transformers.get_cosine_with_hard_restarts_schedule_with_warmup(o, warmup, 100, 2)
        ),
    }[name]

    def rates(make):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
        schedule = make(optimizer)
        values = []
        for _ in range(100):
            values.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return values

    ours = rates(lambda optimizer: build_schedule(name, optimizer, warmup, 100))
    assert ours == pytest.approx(rates(peer), abs=1e-12)


def kernels_of_a_skipped_step(tensors):
    """Return how many operations a step after an overflow is, but for views, of so many tensors."""
    parameters = [torch.ones(3, requires_grad=True) for _ in range(tensors)]
    optimizer = Lamb(parameters, capturable=True)
    optimizer.found_inf = torch.ones(())
    for _ in range(2):  # The first one makes the moments.
        for parameter, value in zip(parameters, cycle([math.nan, math.inf, -1.0]), strict=False):
            parameter.grad = torch.full((3,), value)
        with Operations() as operations:
            optimizer.step()
    assert all((parameter == 1).all() for parameter in parameters)
    moments = [tensor for state in optimizer.state.values() for tensor in state.values()]
    assert not any(tensor.any() for tensor in moments)
    return operations.count


class Operations(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += not operation.is_view
        return operation(*args, **(kwargs or {}))


@pytest.mark.newer_torch("has no graphs")
def test_a_skipped_step_takes_as_many_operations_of_many_tensors():
    assert kernels_of_a_skipped_step(9) == kernels_of_a_skipped_step(3)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_the_schedule_on_the_device_has_the_rates_of_the_hosts(name):
    """After its last step, too: a benchmark takes more."""
    optimizers = [torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5) for _ in range(2)]
    host, other = (build_schedule(name, optimizer, 3, 10) for optimizer in optimizers)
    device = DeviceSchedule(other, 10, torch.device("cpu"))
    for _ in range(15):
        device.set_rate()
        assert float(device.last_rate()) == pytest.approx(host.get_last_lr()[0], rel=1e-6)
        assert device.state_dict()["_last_lr"] == pytest.approx(host.get_last_lr(), rel=1e-6)
        optimizers[0].step()
        host.step()
        device.step()
