"""Steps that compute the same on the device and on the CPU, in this process."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from callback.optimization import Lamb
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from tools.check.outcome import StepFailure
from tools.check.setting import Setting
from tools.cli.errors import first_line
from tools.machine.device import Device, select_device
from tools.machine.distributed import Processes
from tools.machine.lack_of_memory import lacks_memory
from tools.precision.base import Precision
from tools.precision.choice import PrecisionFlags, build_precision, uses_apex

# How far a result may be from the CPU's: ‖a - b‖ / ‖b‖. In fp16 a number has 11 bits; what an NPU
# calls fp32 may be its cube's product of two halves.
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2}
_SEED = 3
_O2 = PrecisionFlags(fp16=True, fp16_opt_level="O2")
_OVERFIT_STEPS = 30
_WARM_STEPS, _TIMED_STEPS = 3, 10


def _device(setting: Setting) -> Device:
    device = select_device("npu", setting.device_id)
    device.activate()
    return device


def _distance(found: Tensor, wanted: Tensor) -> float:
    wanted = wanted.double()
    return ((found.detach().cpu().double() - wanted).norm() / wanted.norm()).item()


def _hold(distances: dict[str, float], tolerance: float) -> str:
    """Return in words how far results are from the CPU's.

    Raises:
        StepFailure: one is too far, or no number.
    """
    worst = max(distances, key=lambda name: (not distances[name] >= 0, distances[name]))
    words = f"{worst} differs from the CPU's by {distances[worst]:.1e} of its norm"
    if not distances[worst] <= tolerance:
        raise StepFailure(f"{words}, more than {tolerance:.0e}")
    return f"{words} at most"


def product(setting: Setting) -> str:
    """Multiply two matrices in fp32 and in fp16."""
    device = _device(setting).torch_device
    torch.manual_seed(_SEED)
    size = setting.sizes.product
    words = []
    for dtype in (torch.float32, torch.float16):
        left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
        found = left.to(device) @ right.to(device)
        distance = _distance(found, left.double() @ right.double())
        words.append(_hold({f"a product in {str(dtype)[6:]}": distance}, _TOLERANCE[dtype]))
    return "; ".join(words)


def attention(setting: Setting) -> str:
    """Compute masked attention, forward and backward, with a row of the mask for each token that asks.

    Whether one row for all will do depends on torch_npu's release, and the network does without.
    """
    device = _device(setting).torch_device
    torch.manual_seed(_SEED)
    batch, heads, tokens, size = setting.sizes.attention
    states = [torch.randn(batch, heads, tokens, size) for _ in range(3)]
    gradient = torch.randn(batch, heads, tokens, size)
    lengths = torch.randint(1, tokens + 1, (batch, 1))
    row = (torch.arange(tokens) < lengths)[:, None, None, :]
    square = row.expand(-1, -1, tokens, -1).contiguous()
    wanted = _attend(states, gradient, square)
    halves = [s.to(device).half() for s in states]
    try:
        found = _attend(halves, gradient, square.to(device))
    except RuntimeError as error:
        raise StepFailure(f"a mask [B, 1, S, S] is refused: {first_line(error)}") from error
    words = _hold_attention(found, wanted)
    try:
        found = _attend(halves, gradient, row.to(device))
    except RuntimeError:
        return f"{words}; a mask [B, 1, 1, S] is refused, which the network makes none of"
    try:
        _hold_attention(found, wanted)
    except StepFailure as failure:
        return f"{words}; with a mask [B, 1, 1, S], of which the network makes none, {failure}"
    return f"{words}; a mask [B, 1, 1, S] is taken, too"


def _hold_attention(found: list[Tensor], wanted: list[Tensor]) -> str:
    names = ("attention", "query's gradient", "key's gradient", "value's gradient")
    distances = dict(zip(names, map(_distance, found, wanted), strict=True))
    return _hold(distances, _TOLERANCE[torch.float16])


def _attend(states: list[Tensor], gradient: Tensor, mask: Tensor) -> list[Tensor]:
    leaves = [s.detach().requires_grad_() for s in states]
    result = F.scaled_dot_product_attention(*leaves, attn_mask=mask)
    result.backward(gradient.to(result.device, result.dtype))
    # The copies wait for the device: what it refuses may come only then.
    return [tensor.detach().cpu() for tensor in (result, *(leaf.grad for leaf in leaves))]


def _network(config: AlbertConfig) -> AlbertForSequenceClassification:
    torch.manual_seed(_SEED)
    return AlbertForSequenceClassification(config)


def _batch(config: AlbertConfig, examples: int, tokens: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(_SEED)
    ids = torch.randint(5, config.vocab_size, (examples, tokens), generator=generator)
    lengths = torch.randint(2, tokens + 1, (examples, 1), generator=generator)
    lengths[0] = tokens
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(tokens) < lengths).long(),
        "labels": torch.randint(0, 2, (examples,), generator=generator),
    }


def _on(device: torch.device, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def network(setting: Setting) -> str:
    """Compare the network's logits, its loss and all gradients in fp32 with the CPU's."""
    device = _device(setting)
    config = setting.sizes.network
    batch = _batch(config, 4, min(32, config.max_position_embeddings))
    plain = _network(config)
    wanted = plain(**batch)
    wanted.loss.backward()
    other = device.place(_network(config))
    found = other(**_on(device.torch_device, batch))
    found.loss.backward()
    distances = {"the logits": _distance(found.logits, wanted.logits)}
    distances["the loss"] = _distance(found.loss, wanted.loss)
    pairs = zip(plain.named_parameters(), other.parameters(), strict=True)
    for (name, parameter), own in pairs:
        # A key's bias changes no attention: its gradient is rounding.
        if not name.endswith("key.bias"):
            distances[f"the gradient of {name}"] = _distance(own.grad, parameter.grad)
    return _hold(distances, 1e-2)


def overfit(setting: Setting) -> str:
    """Learn one batch by heart at O2, and see that each step does what it does in fp32 on the CPU.

    Gradients that stay those of the first step, as from buffers that were moved, would show.
    """
    config = setting.sizes.trained
    found, words = _learn(setting, config, _device(setting), _O2)
    wanted, _ = _learn(setting, config, Device("cpu"), PrecisionFlags())
    apart = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
    summary = f"{words}: loss {found[0]:.3f} → {found[-1]:.3f}, the CPU's {wanted[-1]:.3f}"
    if not (found[-1] < found[0] / 4 and apart < max(0.15, wanted[0] / 4)):
        raise StepFailure(f"{summary}; up to {apart:.2f} apart")
    return summary


def _learn(
    setting: Setting, config: AlbertConfig, device: Device, flags: PrecisionFlags
) -> tuple[list[float], str]:
    precision = _precision(config, device, flags, setting.sizes.learning_rate)
    batch = _on(device.torch_device, _batch(config, 16, 16))
    losses = []
    for _ in range(_OVERFIT_STEPS):
        losses.append(_step(precision, batch).item())
    return losses, precision.description


def _precision(
    config: AlbertConfig, device: Device, flags: PrecisionFlags, rate: float
) -> Precision:
    model = device.place(_network(config)).train()
    optimizer = Lamb(model.parameters(), lr=rate)
    by_apex = uses_apex(flags.fp16, flags.amp_backend, device)
    return build_precision(flags, model, optimizer, device, Processes(), by_apex)


def _step(precision: Precision, batch: dict[str, Tensor]) -> Tensor:
    """Do a training step; return its loss, a scalar on the device."""
    with precision.forward():
        loss = precision.model(**batch).loss
    precision.backward(loss)
    precision.step(1.0)
    return loss


def memory(setting: Setting) -> str:
    """Measure the memory that a step of the published recipe takes, at O2."""
    device = _device(setting)
    examples, tokens = setting.sizes.memory
    config = setting.sizes.network
    precision = _precision(config, device, _O2, setting.sizes.learning_rate)
    batch = _on(device.torch_device, _batch(config, examples, tokens))
    device.reset_peak_memory()
    try:
        for _ in range(2):
            _step(precision, batch)
        device.synchronize()
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        words = f"a step of {examples} × {tokens} does not fit: {first_line(error)}"
        raise StepFailure(words) from error
    return f"a step of {examples} × {tokens} takes {device.peak_memory() / 2**30:.2f} GiB"


def compilation(setting: Setting) -> str:
    """Time steps of one width at O2 with kernels compiled for it, and without."""
    device = _device(setting)
    config = setting.sizes.network
    precision = _precision(config, device, _O2, setting.sizes.learning_rate)
    examples = setting.sizes.batch_size
    batch = _on(
        device.torch_device, _batch(config, examples, min(64, config.max_position_embeddings))
    )
    words = []
    for wanted, mode in ((False, "without"), (True, "with")):
        device.compile_kernels(wanted)
        for step in range(_WARM_STEPS + _TIMED_STEPS):
            if step == _WARM_STEPS:
                device.synchronize()
                began = time.perf_counter()
            _step(precision, batch)
        device.synchronize()
        speed = _TIMED_STEPS * examples / (time.perf_counter() - began)
        words.append(f"{speed:.0f} samples/s {mode} compiled kernels (jit_compile)")
    return ", ".join(words)
