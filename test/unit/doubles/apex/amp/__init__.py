"""``apex.amp`` with Ascend's signatures and behaviour, as it computes (apex_checks.py compares them).

O0 is fp32. O1 casts operation by operation, wherever torch is called, but not within ``disable_casts``. O2
has fp16 weights in the model and fp32 master copies in the optimizer's groups; they are made at the first
backward pass. O3 is fp16 throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch_npu._device import release

from apex.amp._optimizer import Stash, patch_optimizer
from apex.amp._scaler import LossScaler

__all__ = [
    "disable_casts",
    "initialize",
    "load_state_dict",
    "master_params",
    "scale_loss",
    "state_dict",
]


class _Level(NamedTuple):
    cast_model_type: torch.dtype | None
    patch_torch_functions: bool
    master_weights: bool
    loss_scale: float | str


_LEVELS = {
    "O0": _Level(torch.float32, False, False, 1.0),
    "O1": _Level(None, True, False, "dynamic"),
    "O2": _Level(torch.float16, False, True, "dynamic"),
    "O3": _Level(torch.float16, False, False, 1.0),
}


class _State:
    """What is global in apex: the level in use and the loss scalers."""

    level: _Level | None = None
    enabled = True
    quiet = False
    scalers: list[LossScaler] = []  # noqa: RUF012


def _set_casts(active: bool) -> None:
    """Have torch cast operation by operation from now on, or not: apex patches its functions for that."""
    release.set_autocast_dtype(torch.float16)
    release.set_autocast_enabled(active)


def initialize(
    models: Any,
    optimizers: Any = None,
    enabled: bool = True,
    opt_level: str = "O1",
    cast_model_type: torch.dtype | None = None,
    patch_torch_functions: bool | None = None,
    keep_batchnorm_fp32: bool | str | None = None,
    master_weights: bool | None = None,
    loss_scale: float | str | None = None,
    cast_model_outputs: torch.dtype | None = None,
    num_losses: int = 1,
    verbosity: int = 1,
    dynamic_init_scale: float = 2.0**16,
    scale_growth_factor: float = 2.0,
    scale_backoff_factor: float = 0.5,
    scale_window: int = 2000,
    min_loss_scale: float | None = None,
    max_loss_scale: float = 2.0**24,
    combine_grad: bool | None = None,
    combine_ddp: bool | None = None,
    ddp_replica_count: int = 4,
    user_cast_preferred: bool | None = None,
    check_combined_tensors: bool | None = None,
) -> Any:
    """Prepare models and optimizers for a level; return them as they were given: one, or a list.

    Raises:
        RuntimeError: the level is none, a model is wrapped or no fp32 model on the device, or an
            optimizer came here before.
    """
    _State.enabled = enabled
    if not enabled:
        return models if optimizers is None else (models, optimizers)
    if opt_level not in _LEVELS:
        raise RuntimeError(
            f"Unexpected optimization level {opt_level}. Options are 'O0', 'O1', 'O2', 'O3'."
        )
    given = {
        "cast_model_type": cast_model_type,
        "patch_torch_functions": patch_torch_functions,
        "master_weights": master_weights,
        "loss_scale": loss_scale,
    }
    level = _LEVELS[opt_level]._replace(**{k: v for k, v in given.items() if v is not None})
    if combine_grad and opt_level not in ("O1", "O2"):
        raise RuntimeError(
            "Currently, combine_grad=True or check_combined_tensors=True should only be set by selecting "
            "opt_level='O1' or opt_level='O2'."
        )
    if combine_grad and opt_level == "O2" and not level.master_weights:
        raise RuntimeError("With opt_level O2, master_weights should be True")
    all_models = models if isinstance(models, list) else [models]
    all_optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    all_optimizers = [optimizer for optimizer in all_optimizers if optimizer is not None]
    for model in all_models:
        _check_model(model)
        _cast_model(model, level, cast_model_outputs)
    for optimizer in all_optimizers:
        if level.cast_model_type is not None:
            optimizer.load_state_dict(
                optimizer.state_dict()
            )  # earlier state takes the weights' dtype
        if hasattr(optimizer, "is_npu_fused_optimizer") and opt_level not in ("O1", "O2"):
            raise RuntimeError(
                "Currently, npu fused optimizer can only be used when opt_level='O1' or opt_level='O2'"
            )
        patch_optimizer(optimizer, level.master_weights, bool(combine_grad))
        if level.patch_torch_functions:
            _stop_casts_in_step(optimizer)
    _State.level, _State.quiet = level, verbosity == 0
    _State.scalers = [
        LossScaler(
            level.loss_scale,
            dynamic_init_scale,
            scale_growth_factor,
            scale_backoff_factor,
            scale_window,
            min_loss_scale,
            max_loss_scale,
        )
        for _ in range(num_losses)
    ]
    _set_casts(level.patch_torch_functions)
    return models if optimizers is None else (models, optimizers)


def _stop_casts_in_step(optimizer: Optimizer) -> None:
    step = optimizer.step

    def uncast(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with disable_casts():
            return step(*args, **kwargs)

    optimizer.step = MethodType(uncast, optimizer)


def _check_model(model: nn.Module) -> None:
    if isinstance(model, (DistributedDataParallel, nn.DataParallel)):
        raise RuntimeError(
            f"Incoming model is an instance of {type(model)}. Parallel wrappers should only be applied "
            "to the model(s) AFTER the model(s) have been returned from amp.initialize."
        )
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.type() != "torch.npu.FloatTensor":
            raise RuntimeError(
                f"Found param {name} with type {parameter.type()}, expected torch.npu.FloatTensor."
            )


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if isinstance(value, (list, tuple)):  # as in apex, a NamedTuple is more than it can make
        return type(value)(_cast(item, dtype) for item in value)
    return value


def _cast_model(model: nn.Module, level: _Level, outputs: torch.dtype | None) -> None:
    forward, dtype = model.forward, level.cast_model_type
    if dtype is not None:

        def cast_ends(*args: Any, **kwargs: Any) -> Any:
            result = forward(*_cast(args, dtype), **_cast(kwargs, dtype))
            return _cast(result, outputs or torch.float32)

        model.to(dtype)
        model.forward = cast_ends
        model._register_state_dict_hook(_fp32_state)


def _fp32_state(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for key, value in state.items():
        state[key] = value.float() if value.dtype == torch.float16 else value


@contextmanager
def disable_casts() -> Iterator[None]:
    """Compute in fp32 within the block, and with casts after it; there are casts at O1 alone."""
    if _State.level is None or not _State.level.patch_torch_functions:
        raise AttributeError("'AmpState' object has no attribute 'handle'")
    _set_casts(False)
    yield
    _set_casts(True)


@contextmanager
def scale_loss(
    loss: Tensor,
    optimizers: Any,
    loss_id: int = 0,
    model: nn.Module | None = None,
    delay_unscale: bool = False,
    delay_overflow_check: bool = False,
) -> Iterator[Tensor]:
    """Hand out the loss to call ``backward`` on; unscale the gradients after that.

    After an overflow the next ``optimizer.step()`` does nothing, and a dynamic scale is halved.
    """
    if not _State.enabled:
        yield loss
        return
    if _State.level is None:
        raise RuntimeError("amp.initialize must be called before `with amp.scale_loss`.")
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    scaler = _State.scalers[loss_id]
    if not _State.level.master_weights and not scaler.dynamic and scaler.scale == 1.0:
        yield loss.float()
        return
    stashes: list[Stash] = [optimizer._amp_stash for optimizer in optimizers]
    for stash in stashes:
        if not delay_unscale and not stash.has_scaled_gradients:
            stash.before_backward()
    scaler.begin()
    # What apex patches are functions of Python's, which the backward pass does not call.
    casts = release.is_autocast_enabled()
    release.set_autocast_enabled(False)
    yield loss.float() * scaler.scale
    release.set_autocast_enabled(casts)
    torch.clear_autocast_cache()
    if delay_unscale:
        for stash in stashes:
            stash.has_scaled_gradients = True
        return
    scaler.read_flag()
    for stash in stashes:
        stash.after_backward(scaler)
        stash.has_scaled_gradients = False
    if not delay_overflow_check and scaler.update():
        for stash in stashes:
            stash.skip_next_step(loss_id, scaler, _State.quiet)


def master_params(optimizer: Optimizer) -> Iterable[Tensor]:
    """Return the weights that the optimizer updates: the masters, once there are any."""
    return (weight for group in optimizer.param_groups for weight in group["params"])


def state_dict(destination: dict | None = None) -> dict[str, dict[str, float]]:
    """Return the state of the loss scalers; the master weights are no part of it."""
    destination = {} if destination is None else destination
    for index, scaler in enumerate(_State.scalers):
        destination[f"loss_scaler{index}"] = {
            "loss_scale": scaler.scale,
            "unskipped": scaler.unskipped,
        }
    return destination


def load_state_dict(state_dict: dict[str, dict[str, float]]) -> None:
    """Take over the state of the loss scalers."""
    for index, key in enumerate(state_dict):
        if not key.startswith("loss_scaler"):
            raise RuntimeError(f"Unexpected key: {key}")
        if index < len(_State.scalers):
            _State.scalers[index].scale = state_dict[key]["loss_scale"]
            _State.scalers[index].unskipped = state_dict[key]["unskipped"]
