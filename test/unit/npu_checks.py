"""Checks of the simulated NPU from within: test_simulated_npu.py runs this file in a process of its own.

A device is registered for the whole life of a process, so no other test may share it.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
import torch_npu
from apex import amp
from torch import nn
from torch_npu.npu.amp import GradScaler
from torch_npu.optim import NpuFusedAdamW, NpuFusedLamb

from callback.optimization import Lamb
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification

NPU, OTHER, CPU = torch.device("npu:0"), torch.device("npu:1"), torch.device("cpu")
INF = float("inf")


def small_albert():
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
    )
    return AlbertForSequenceClassification(config)


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
@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (Lamb, Lamb),
        (torch.optim.AdamW, torch.optim.AdamW),
        (NpuFusedLamb, Lamb),
        (NpuFusedAdamW, torch.optim.AdamW),
    ],
)
def test_training_is_the_cpus(make, reference, device, masked):
    torch.npu.set_device(device)
    model = small_albert()
    expected = copy.deepcopy(model)
    model.to(device)
    # Some gradients are 0 but for rounding (a key's bias): a small eps would make steps of them.
    options = {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-3}
    losses = train(model, make(model.parameters(), **options), device, masked=masked)
    wanted = train(expected, reference(expected.parameters(), **options), CPU, masked=masked)
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


@pytest.mark.parametrize("make", [lambda: torch.amp.GradScaler("npu"), GradScaler])
@pytest.mark.parametrize("kind", [torch.optim.SGD, NpuFusedAdamW])
def test_scalers_skip_a_step_that_overflows(make, kind):
    weight, scaler = nn.Parameter(torch.ones(2, device=NPU)), make()
    optimizer = kind([weight], lr=0.1)
    scaled_step(scaler, weight, optimizer, 1.0)
    after_one = weight.tolist()
    assert after_one[0] < 1
    scaled_step(scaler, weight, optimizer, INF)
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


def test_fused_optimizers_keep_the_gradients_they_first_saw():
    weight = nn.Parameter(torch.ones(2, device=NPU))
    optimizer = NpuFusedLamb([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    with pytest.raises(ValueError, match="set_to_none"):
        optimizer.zero_grad(set_to_none=True)
    optimizer.zero_grad()
    before = weight.tolist()
    # Made anew, and put there as load_state_dict does it: the optimizer still has its own.
    weight.grad = torch.tensor([1e6, 0.0]).to(NPU)
    optimizer.state[weight]["exp_avg"] = torch.tensor([0.0, 1e6]).to(NPU)
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.9 * w for w in before])
    assert optimizer.grads_all_group_combined[0].tolist() == [0.0, 0.0]


def apex_model(level, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(NPU)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    return amp.initialize(model, optimizer, opt_level=level, **options)


def apex_step(model, optimizer, factor=1.0):
    loss = model(torch.ones(2, 4, device=NPU)).float().mean() * factor
    with amp.scale_loss(loss, optimizer) as scaled:
        scaled.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize(
    ("level", "weights", "masters"),
    [
        ("O0", torch.float32, torch.float32),
        ("O1", torch.float32, torch.float32),
        ("O2", torch.float16, torch.float32),
        ("O3", torch.float16, torch.float16),
    ],
)
def test_apex_levels_have_their_dtypes_and_learn_the_same(level, weights, masters):
    plain, plain_optimizer = apex_model("O0")
    model, optimizer = apex_model(level, loss_scale=128.0)
    for _ in range(3):
        apex_step(model, optimizer)
    assert {p.dtype for p in model.parameters()} == {weights}
    assert {p.dtype for p in amp.master_params(optimizer)} == {masters}
    assert model(torch.ones(1, 4, device=NPU)).dtype == (
        torch.float16 if level == "O1" else torch.float32
    )
    for _ in range(3):
        plain(torch.ones(2, 4, device=NPU)).mean().backward()
        plain_optimizer.step()
        plain_optimizer.zero_grad()
    for own, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.float(), other, atol=5e-3, rtol=0)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_apex_skips_one_step_after_an_overflow_and_halves_the_scale(level):
    model, optimizer = apex_model(level)
    apex_step(model, optimizer, 1e-2)
    before = [p.clone() for p in model.parameters()]
    apex_step(model, optimizer, INF)
    assert all(map(torch.equal, before, model.parameters()))
    assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 2.0**15, "unskipped": 0}}
    apex_step(model, optimizer, 1e-2)
    assert not torch.equal(before[0], next(model.parameters()))
    saved = amp.state_dict()
    apex_model(level)
    amp.load_state_dict(saved)
    assert amp.state_dict() == saved


def test_apex_adds_up_the_gradients_of_several_backward_passes():
    once, once_optimizer = apex_model("O2", loss_scale=4.0)
    apex_step(once, once_optimizer, 3.0)
    twice, optimizer = apex_model("O2", loss_scale=4.0)
    for factor in (1.0, 2.0):
        loss = twice(torch.ones(2, 4, device=NPU)).mean() * factor
        with amp.scale_loss(loss, optimizer) as scaled:
            scaled.backward()
    optimizer.step()
    for own, other in zip(
        amp.master_params(optimizer), amp.master_params(once_optimizer), strict=True
    ):
        torch.testing.assert_close(own, other, atol=2e-3, rtol=0)


def test_apex_refuses_what_the_real_one_refuses():
    model, optimizer = apex_model("O2")
    with pytest.raises(RuntimeError, match="Found param 0.weight with type npu torch.float16"):
        amp.initialize(model, optimizer)
    with pytest.raises(RuntimeError, match="only be passed through amp.initialize once"):
        amp.initialize(nn.Linear(1, 1).to(NPU), optimizer)
    with pytest.raises(RuntimeError, match="Unexpected optimization level O4"):
        amp.initialize(nn.Linear(1, 1).to(NPU), opt_level="O4")
    with pytest.raises(TypeError):  # apex's zero_grad takes no argument where there are masters
        optimizer.zero_grad(set_to_none=True)
