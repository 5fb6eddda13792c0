"""Checks of the simulated NPU from within: test_simulated_npu.py runs this file in a process of its own.

A device is registered for the whole life of a process, so no other test may share it.
"""

import copy
import os

import pytest
import torch
import torch.nn.functional as F
import torch_npu
from small_albert import small_albert
from torch import nn
from torch_npu.npu.amp import GradScaler

from callback.optimization import Lamb
from tools.machine.device import Device
from tools.precision.native import LEVELS as NATIVE

LACKS = os.environ.get("SIMULATED_NPU_LACKS", "")
FUSED_ATTENTION = "fused_attention" not in LACKS
DEVICE = Device("npu")
NPU, OTHER, CPU = torch.device("npu:0"), torch.device("npu:1"), torch.device("cpu")
INF = float("inf")


def batch_on(device, masked=True):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 50, (4, 9), generator=generator)
    batch = {"input_ids": ids, "labels": torch.tensor([0, 1, 1, 0])}
    if masked:
        batch["attention_mask"] = (torch.arange(9) < torch.tensor([[9], [5], [7], [2]])).long()
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def train(model, optimizer, device, steps=3, masked=True):
    losses = []
    for _ in range(steps):
        loss = model(**batch_on(device, masked)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("device", [NPU, OTHER])
@pytest.mark.parametrize("make", [Lamb, torch.optim.AdamW])
def test_training_is_the_cpus(make, device, masked):
    torch.npu.set_device(device)
    model = small_albert()
    expected = copy.deepcopy(model)
    Device("npu", device.index).place(model)
    # Some gradients are 0 but for rounding (a key's bias): a small eps would make steps of them.
    options = {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-3}
    losses = train(model, make(model.parameters(), **options), device, masked=masked)
    wanted = train(expected, make(expected.parameters(), **options), CPU, masked=masked)
    assert losses == pytest.approx(wanted, abs=1e-6)
    for own, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert own.device == device
        torch.testing.assert_close(own.cpu(), other, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y: x + y,
        lambda x, y: y * x,
        lambda x, y: x.add_(y),
        lambda x, y: x @ y,
        lambda x, y: torch.cat([x, y]),
        lambda x, y: torch._foreach_add([x, x], [x, y]),
        lambda x, y: F.linear(x, y),
        lambda x, y: F.embedding(y[0].long(), x),
        lambda x, y: F.layer_norm(x, (3,), y[0]),
        lambda x, y: torch.where(x > 0, x, y),
        lambda x, y: F.scaled_dot_product_attention(x[None], x[None], y[None]),
        lambda x, y: F.mse_loss(x, y),
        lambda x, y: y.sum().add_(x.sum()),
    ],
)
@pytest.mark.parametrize("other", [CPU, OTHER])
def test_tensors_on_two_devices_are_refused(operation, other):
    with pytest.raises(RuntimeError, match=r"same device|two devices"):
        operation(torch.ones(3, 3, device=NPU), torch.ones(3, 3, device=other))


def test_a_number_on_the_cpu_may_be_read():
    assert (torch.ones(3, device=NPU) * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]


def test_views_share_their_memory():
    x = torch.zeros(2, 3, device=NPU)
    x[1].add_(1)
    x.t()[0] += 2
    x.view(6).narrow(0, 2, 1).fill_(9)
    flat = x.view(-1)
    x.mul_(2)
    assert flat.tolist() == [4, 0, 18, 6, 2, 2]
    w = torch.ones(2, device=NPU, requires_grad=True)
    y = w * 1
    y[0].mul_(3)
    y.sum().backward()
    assert w.grad.tolist() == [3, 1]
    assert x.cpu().untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


def test_saved_tensors_and_optimizer_states_go_back_to_the_device(tmp_path):
    model = nn.Linear(3, 3).to(OTHER)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3, device=OTHER)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", map_location="cpu", weights_only=True)
    assert saved["state"][0]["exp_avg"].device == CPU
    optimizer.load_state_dict(saved)
    assert optimizer.state[model.weight]["exp_avg"].device == OTHER


def test_each_device_has_random_numbers_of_its_own():
    torch.manual_seed(3)
    first = F.dropout(torch.ones(100, device=NPU))
    torch.manual_seed(3)
    torch.rand(5), torch.rand(5, device=OTHER)  # do not count
    assert torch.equal(F.dropout(torch.ones(100, device=NPU)), first)
    assert not torch.equal(F.dropout(torch.ones(100, device=NPU)), first)
    state = torch.npu.get_rng_state("npu:0")
    second = torch.rand(5, device=NPU)
    torch.npu.set_rng_state(state, "npu:0")
    assert torch.equal(torch.rand(5, device=NPU), second)


def test_memory_is_counted():
    before = torch.npu.memory_allocated("npu:1")
    torch.npu.reset_peak_memory_stats(1)
    big = torch.zeros(1000, 100, device=OTHER)
    assert torch.npu.memory_allocated(1) == before + 400_000
    del big
    assert torch.npu.memory_allocated(1) == before
    assert torch.npu.max_memory_allocated(1) >= before + 400_000


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_chooses_the_dtype_by_operation(dtype):
    x = torch.ones(2, 2, device=NPU, requires_grad=True)
    with torch.autocast("npu", dtype=dtype):
        low = F.linear(x, x)
        assert (low.dtype, (x @ x).dtype, F.gelu(low).dtype) == (dtype, dtype, dtype)
        assert F.scaled_dot_product_attention(x[None], x[None], x[None]).dtype == dtype
        for result in (F.layer_norm(low, (2,)), F.softmax(low, -1), F.mse_loss(low, x), low.sum()):
            assert result.dtype == torch.float32
        assert torch.cat([low, x]).dtype == torch.float32
        with torch.autocast("npu", enabled=False):
            assert (x @ x).dtype == torch.float32
    low.sum().backward()
    assert x.grad.dtype == torch.float32
    with torch_npu.npu.amp.autocast(dtype=dtype):
        assert (x @ x).dtype == dtype


def scaled_step(scaler, weight, optimizer, factor):
    scaler.scale((weight * factor).sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()


TORCHS_SCALER = pytest.param(
    lambda: torch.amp.GradScaler("npu"),
    marks=pytest.mark.newer_torch("has no GradScaler but CUDA's"),
)
# torch's own scaler knows no flag.
SCALERS = [GradScaler] if "infinity" in LACKS else [GradScaler, TORCHS_SCALER]


@pytest.mark.parametrize("make", SCALERS)
def test_scalers_skip_a_step_that_overflows(make):
    weight, scaler = nn.Parameter(torch.ones(2, device=NPU)), make()
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaled_step(scaler, weight, optimizer, 1.0)
    after_one = weight.tolist()
    assert after_one[0] < 1
    scaled_step(scaler, weight, optimizer, 3e38)  # With the scale it is more than fp32 can hold.
    assert weight.tolist() == after_one
    assert scaler.get_scale() == 2.0**15
    scaled_step(scaler, weight, optimizer, 1.0)
    assert weight[0] < after_one[0]


def test_torch_npus_scaler_with_a_fixed_scale_steps_whatever_the_gradients_are():
    weight, scaler = nn.Parameter(torch.ones(2, device=NPU)), GradScaler(8.0, dynamic=False)
    scaled_step(scaler, weight, torch.optim.SGD([weight], lr=0.1), INF)
    assert not torch.isfinite(weight).any()
    assert scaler.state_dict()["dynamic"] is False
    assert scaler.get_scale() == 8.0


def native_step(precision, factors):
    """Do a step of micro-batches, whose losses are multiplied by ``factors``."""
    for part, factor in enumerate(factors):
        with precision.forward():
            loss = precision.model(**batch_on(NPU)).loss
        precision.backward(loss * factor, last=part == len(factors) - 1)
    return precision.step(1.0)


@pytest.mark.parametrize("level", NATIVE)
def test_torchs_own_levels_learn_and_skip_what_overflows(level):
    model = DEVICE.place(small_albert())
    optimizer = Lamb(model.parameters(), lr=1e-2, eps=1e-3)
    precision = NATIVE[level](model, optimizer, DEVICE, "dynamic")
    losses = []
    for _ in range(4):
        with torch.no_grad():
            losses.append(precision.fp32_model()(**batch_on(NPU)).loss.item())
        assert native_step(precision, [0.5, 0.5])
    assert losses == sorted(losses, reverse=True)
    for factors in ([3e38, 1.0], [1.0, 3e38]):
        before = {n: p.cpu().clone() for n, p in precision.fp32_model().named_parameters()}
        assert not native_step(precision, factors)
        after = precision.fp32_model().named_parameters()
        assert all(torch.equal(before[name], p.cpu()) for name, p in after)
    assert precision.skipped_steps == 2
    assert precision.loss_scale() == 2.0**14


def test_attention_takes_a_row_of_the_mask_for_each_token_that_asks():
    query, key = torch.ones(2, 1, 3, 4, device=NPU), torch.ones(2, 1, 5, 4, device=NPU)
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool, device=NPU)
    if FUSED_ATTENTION:
        with pytest.raises(RuntimeError, match=r"atten_mask has the shape \[2, 1, 1, 5\]"):
            F.scaled_dot_product_attention(query, key, key, mask)
    mask = mask.expand(-1, -1, 3, -1)
    assert F.scaled_dot_product_attention(query, key, key, mask).shape == query.shape


def test_a_model_that_is_placed_makes_such_masks():
    model = small_albert()
    batch = batch_on(CPU)
    expected = model(**batch).logits
    if FUSED_ATTENTION:
        with pytest.raises(RuntimeError, match="atten_mask"):
            copy.deepcopy(model).to(NPU)(**batch_on(NPU))
    torch.testing.assert_close(DEVICE.place(model)(**batch_on(NPU)).logits.cpu(), expected)


def test_attention_without_a_kernel_of_its_own_stays_in_fp16():
    DEVICE.activate()
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            result = op(*args, **(kwargs or {}))
            seen.extend([result.dtype] if isinstance(result, torch.Tensor) else [])
            return result

    states = torch.ones(2, 1, 3, 4, device=NPU, dtype=torch.float16)
    with Watch():
        F.scaled_dot_product_attention(states, states, states)
    assert torch.float32 not in seen
    assert torch.float16 in seen


def test_the_chip_has_bf16_or_says_so():
    assert DEVICE.has_bf16 is ("bf16" not in LACKS)


@pytest.mark.parametrize("one_width", [True, False])
def test_kernels_are_compiled_for_a_shape_only_where_there_is_one(one_width, monkeypatch):
    modes = []
    monkeypatch.setattr(
        torch.npu, "set_compile_mode", lambda jit_compile: modes.append(jit_compile)
    )
    DEVICE.activate(one_width)
    assert modes == ([] if one_width else [False])
