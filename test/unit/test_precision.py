"""A step that overflows is not a step, and every precision takes full precision's steps."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from callback.optimization import Lamb
from tools.cli.errors import UsageError
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.precision import choice
from tools.precision.apex import find_amp
from tools.precision.base import LEAST_SCALE, MOST_SKIPS, Bf16Autocast, Fp32
from tools.precision.choice import PrecisionFlags, build_precision, uses_apex
from tools.precision.gradients import clip_gradients
from tools.precision.native import Bf16MasterWeights, Fp16Autocast, HalfWeights, MasterWeights

SCALED = (Fp16Autocast, MasterWeights, HalfWeights)
KEEPS_FP32 = (Fp16Autocast, MasterWeights)


class Gpu(Device):
    """A device on which --fp16 is mixed precision, though its tensors are on the CPU."""

    has_fp16 = True


# Here the CPU stands in for a device with fp16.
on_a_cpu = pytest.mark.newer_torch("has neither fp16 arithmetic nor a loss scaler for a CPU")


def make(kind, scale="dynamic"):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if kind is Fp32:
        return Fp32(model, optimizer)
    if kind is Bf16MasterWeights:
        return Bf16MasterWeights(model, optimizer)
    if kind is Bf16Autocast:
        return Bf16Autocast(model, optimizer, Device("cpu"))
    return kind(model, optimizer, Device("cpu"), scale)


def step(precision, value=1.0, micro_batches=1):
    for index in range(1, micro_batches + 1):
        with precision.forward():
            inputs = torch.full((2, 4), value, dtype=precision.model[0].weight.dtype)
            # small enough for the first dynamic scale
            loss = precision.model(inputs).float().mean() * 0.1 / micro_batches
        precision.backward(loss, last=index == micro_batches)
    return precision.step(max_norm=0.5)


def weights(precision):
    return [parameter.detach().clone() for parameter in precision.fp32_model().parameters()]


@pytest.mark.parametrize("micro_batches", [1, 3])
@pytest.mark.parametrize("scale", ["dynamic", 128.0])
@pytest.mark.parametrize(
    "kind",
    [*(pytest.param(kind, marks=on_a_cpu) for kind in SCALED), Bf16Autocast, Bf16MasterWeights],
)
def test_every_precision_takes_the_steps_of_full_precision(kind, scale, micro_batches):
    plain, mixed = make(Fp32), make(kind, scale)
    for _ in range(3):
        assert step(plain)
        assert step(mixed, micro_batches=micro_batches)
    torch.testing.assert_close(weights(mixed), weights(plain), atol=4e-3, rtol=4e-3)
    assert all(w.dtype == torch.float32 for w in weights(mixed))
    assert mixed.skipped_steps == 0
    torch.testing.assert_close(mixed.grad_norm.float(), plain.grad_norm, atol=0, rtol=2e-2)


@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_the_norm_is_that_of_the_gradients_before_they_are_clipped(max_norm):
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    for parameter, value in zip(parameters, (3.0, 4.0), strict=True):
        parameter.grad = torch.tensor([value, 0.0])
    assert clip_gradients(iter(parameters), max_norm) == 5.0
    left = [parameter.grad[0].item() for parameter in parameters]
    assert left == pytest.approx([0.3, 0.4] if max_norm else [3.0, 4.0], rel=1e-5)


@on_a_cpu
@pytest.mark.parametrize("scale", ["dynamic", 128.0])
@pytest.mark.parametrize("kind", SCALED)
def test_a_step_that_overflows_is_skipped_and_said_so(kind, scale):
    precision = make(kind, scale)
    before, scale_before = weights(precision), precision.loss_scale()
    assert step(precision, value=float("inf")) is False
    torch.testing.assert_close(weights(precision), before, atol=0, rtol=0)
    assert precision.loss_scale() == (scale_before if scale == 128.0 else 2.0**15)
    assert precision.skipped_steps == 1
    assert not torch.isfinite(precision.grad_norm)
    assert step(precision) is True
    assert precision.skipped_steps == 1


@on_a_cpu
@pytest.mark.parametrize("kind", SCALED)
def test_the_loss_scale_has_a_floor(kind):
    """Twice as many overflows as it takes torch's own scale to fall to 0."""
    precision = make(kind)
    precision.optimizer.param_groups[0]["lr"] = 0.0
    for index in range(360):
        step(precision, value=1.0 if index % 40 == 39 else float("inf"))
    assert precision.loss_scale() == LEAST_SCALE
    assert precision.skipped_steps == 351


@on_a_cpu
@pytest.mark.parametrize("scale", ["dynamic", 128.0])
@pytest.mark.parametrize("kind", SCALED)
def test_too_many_skipped_steps_in_a_row_end_the_run(kind, scale):
    precision = make(kind, scale)
    for _ in range(MOST_SKIPS - 1):
        assert step(precision, value=float("inf")) is False
    assert step(precision) is True
    for _ in range(MOST_SKIPS - 1):
        assert step(precision, value=float("inf")) is False
    with pytest.raises(
        ValueError, match="50 steps in a row overflowed in fp16, down to a loss scale"
    ):
        step(precision, value=float("inf"))


@on_a_cpu
@pytest.mark.parametrize("kind", SCALED)
def test_the_state_is_kept(kind):
    precision, other = make(kind), make(kind)
    step(precision, value=float("inf"))
    other.load_state_dict(copy.deepcopy(precision.state_dict()))
    assert other.state_dict() == precision.state_dict()
    assert other.skipped_steps == 1


@on_a_cpu
def test_o2_keeps_fp16_weights_and_what_they_cannot_hold():
    """Twenty updates, each below fp16's resolution, add up in the master copies."""
    moved = {}
    for kind in SCALED:
        precision = make(kind, 128.0)
        half = kind in (MasterWeights, HalfWeights)
        for parameter in precision.model.parameters():
            assert parameter.dtype == (torch.float16 if half else torch.float32)
        before = weights(precision)
        precision.optimizer.param_groups[0]["lr"] = 1e-4
        for _ in range(20):
            step(precision)
        moved[kind] = (weights(precision)[0] - before[0]).abs().max().item()
    assert moved[MasterWeights] == pytest.approx(moved[Fp16Autocast], rel=0.05)
    assert moved[HalfWeights] < moved[Fp16Autocast] / 2


O2 = {MasterWeights: torch.float16, Bf16MasterWeights: torch.bfloat16}
at_o2 = pytest.mark.parametrize(
    "kind", [pytest.param(MasterWeights, marks=on_a_cpu), Bf16MasterWeights]
)


@at_o2
def test_the_weights_of_o2_are_its_masters_rounded(kind):
    precision = make(kind, 128.0)
    precision.optimizer.param_groups[0]["lr"] = 1e-4  # Below what the weights in the network hold.
    before = weights(precision)
    for _ in range(3):
        step(precision)
    for half, full, old in zip(
        precision.model.parameters(), weights(precision), before, strict=True
    ):
        assert torch.equal(half, full.to(O2[kind]))
        assert not torch.equal(full, old)


@at_o2
def test_o2_starts_from_the_weights_to_the_last_bit(kind):
    """A resumed run must not go on from rounded weights."""
    torch.testing.assert_close(weights(make(kind)), weights(make(Fp32)), atol=0, rtol=0)


def test_bf16_has_no_loss_scale():
    precision = make(Bf16MasterWeights)
    assert step(precision) is True
    assert precision.loss_scale() is None
    assert precision.skipped_steps == 0


@on_a_cpu
def test_lamb_works_on_master_weights():
    model = nn.Linear(4, 1)
    optimizer = Lamb(model.parameters(), lr=0.1)
    precision = MasterWeights(model, optimizer, Device("cpu"), "dynamic")
    precision.backward(model(torch.ones(2, 4).half()).float().mean() * 0.1)
    assert precision.step()
    assert all(state["exp_avg"].dtype == torch.float32 for state in optimizer.state.values())


def test_gradients_are_clipped_to_the_norm():
    precision = make(Fp32)
    before = weights(precision)
    precision.backward(precision.model(torch.full((1, 4), 100.0)).sum() * 100)
    precision.step(max_norm=1.0)
    moves = [new - old for new, old in zip(weights(precision), before, strict=True)]
    norm = torch.cat([move.flatten() for move in moves]).norm()
    assert norm.item() == pytest.approx(0.1, abs=1e-4)  # the learning rate times the norm


def build(device, **given):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    flags = PrecisionFlags(**given)
    by_apex = uses_apex(flags.fp16, flags.amp_backend, device)
    return build_precision(flags, model, optimizer, device, Processes(), by_apex)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, Fp32, "fp32"),
        ({"fp16": True, "fp16_opt_level": "O0"}, Fp32, "fp32"),
        pytest.param(
            {"fp16": True}, Fp16Autocast, "fp16 autocast and loss scaling (O1", marks=on_a_cpu
        ),
        pytest.param(
            {"fp16": True, "fp16_opt_level": "O2"},
            MasterWeights,
            "fp32 master copies (O2",
            marks=on_a_cpu,
        ),
        pytest.param(
            {"fp16": True, "fp16_opt_level": "O3"},
            HalfWeights,
            "fp16 throughout (O3",
            marks=on_a_cpu,
        ),
        ({"bf16": True}, Bf16Autocast, "bf16 autocast"),
        (
            {"bf16": True, "fp16_opt_level": "O2"},
            Bf16MasterWeights,
            "bf16 weights with fp32 master copies",
        ),
    ],
)
def test_what_the_flags_mean_is_said(monkeypatch, given, kind, words):
    monkeypatch.setattr(choice, "find_amp", lambda: None)
    precision = build(Gpu("cpu"), **given)
    assert type(precision) is kind
    assert words in precision.description


UNITS = "amx_bf16, avx512_bf16"


@pytest.mark.parametrize(
    ("units", "kind", "words"),
    [
        (
            UNITS,
            Bf16Autocast,
            f"bf16 autocast (--fp16 on a CPU: this CPU has units for bf16: {UNITS})",
        ),
        ("", Fp32, "fp32 (--fp16 on a CPU: this CPU has no units for bf16)"),
    ],
)
def test_fp16_on_a_cpu_is_what_is_fast_there(monkeypatch, units, kind, words):
    monkeypatch.setattr(Device, "fast_bf16", units)
    precision = build(Device("cpu"), fp16=True)
    assert type(precision) is kind
    assert precision.description == words


def test_all_processes_compute_in_the_same(monkeypatch):
    """One machine's CPU has units for bf16, another's has none."""
    monkeypatch.setattr(Device, "fast_bf16", UNITS)
    monkeypatch.setattr(Processes, "all_reduce_max", lambda *_: 1.0)
    precision = build(Device("cpu"), fp16=True)
    assert type(precision) is Fp32
    assert "that of another process has no units for bf16" in precision.description


def test_level_o0_is_fp32_however_fast_bf16_is(monkeypatch):
    monkeypatch.setattr(Device, "fast_bf16", UNITS)
    precision = build(Device("cpu"), fp16=True, fp16_opt_level="O0")
    assert type(precision) is Fp32


def test_the_units_of_this_cpu_are_those_that_the_system_lists():
    info = Path("/proc/cpuinfo")
    listed = info.read_text().split() if info.is_file() else []
    if "avx2" not in listed:
        pytest.skip("this system does not list an x86 CPU's units")
    expected = [name for name in ("amx_bf16", "avx512_bf16") if name in listed]
    assert Device("cpu").fast_bf16 == ", ".join(expected)


def test_apex_is_used_where_it_is_and_its_absence_said(monkeypatch):
    monkeypatch.setattr(choice, "find_amp", lambda: None)
    assert not uses_apex(True, "auto", Gpu("cpu"))
    with pytest.raises(UsageError, match="--amp_backend apex: .* is not installed"):
        uses_apex(True, "apex", Gpu("cpu"))
    monkeypatch.setattr(choice, "find_amp", lambda: copy)  # any module
    assert uses_apex(True, "auto", Gpu("cpu"))
    assert not uses_apex(True, "native", Gpu("cpu"))
    assert not uses_apex(False, "auto", Gpu("cpu"))


def test_an_apex_that_does_not_load_is_said(monkeypatch, caplog):
    def broken():
        raise ImportError("libtorch_cuda.so: undefined symbol")

    monkeypatch.setattr(choice, "find_amp", broken)
    assert not uses_apex(True, "auto", Gpu("cpu"))
    assert "apex is installed, but does not load: ImportError: libtorch_cuda.so" in caplog.text
    with pytest.raises(UsageError, match="--amp_backend apex: apex is installed, but does not"):
        uses_apex(True, "apex", Gpu("cpu"))


def test_the_project_that_has_apexs_name_on_pypi_is_not_taken_for_it(monkeypatch, tmp_path):
    (tmp_path / "apex").mkdir()
    (tmp_path / "apex" / "__init__.py").write_text("raise RuntimeError('another project')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_amp() is None
