"""Which precision the flags mean on this machine."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from tools.cli.errors import UsageError, error_line
from tools.cli.groups import flag
from tools.cli.parser import Number
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.precision.apex import ApexAmp, find_amp
from tools.precision.base import Bf16Autocast, Fp32, Precision
from tools.precision.native import LEVELS, Bf16MasterWeights

logger = logging.getLogger(__name__)

OPT_LEVELS = ("O0", "O1", "O2", "O3")
_BF16_LEVELS = ("O1", "O2")
AMP_BACKENDS = ("auto", "apex", "native")


def _loss_scale(text: str) -> str | float:
    return text if text == "dynamic" else Number(float, 0, above=True)(text)


@dataclass(frozen=True)
class PrecisionFlags:
    """What the network computes in."""

    fp16: bool = flag(
        False, "mixed precision; on a CPU bf16 where it has units for that, else fp32"
    )
    fp16_opt_level: str = flag(
        "O1",
        "O0 fp32, O1 casts operations, O2 half-precision weights with fp32 copies, O3 fp16 only; of bf16 "
        "there are O1 and O2",
        choices=OPT_LEVELS,
    )
    amp_backend: str = flag(
        "auto",
        "whose mixed precision: apex's where it is installed, else torch's own",
        choices=AMP_BACKENDS,
    )
    bf16: bool = flag(False, "bf16 arithmetic where torch deems it safe; with O2 throughout")
    loss_scale: str | float = flag(
        "dynamic", "dynamic, or a fixed number", type=_loss_scale, metavar="X"
    )

    def __post_init__(self) -> None:
        """See that the flags go together.

        Raises:
            UsageError: two contradict each other, or one is about a precision that is not asked for.
        """
        if self.fp16 and self.bf16:
            raise UsageError("--fp16 and --bf16 contradict each other")
        if self.bf16 and self.fp16_opt_level not in _BF16_LEVELS:
            raise UsageError(
                f"--bf16 has no --fp16_opt_level {self.fp16_opt_level}, only {' and '.join(_BF16_LEVELS)}"
            )
        for name in ("amp_backend", "loss_scale", *(() if self.bf16 else ("fp16_opt_level",))):
            value = getattr(self, name)
            if value != getattr(PrecisionFlags, name) and not self.fp16:
                raise UsageError(
                    f"--{name} {value} is about --fp16: give that, too, or leave it out"
                )


def uses_apex(fp16: bool, amp_backend: str, device: Device) -> bool:
    """Return whether ``--fp16`` is apex's on this device: where it is installed, unless told otherwise.

    A warning says so where it is installed and does not load.

    Raises:
        UsageError: ``--amp_backend apex`` where there is none that loads, or the device has no fp16.
    """
    if not fp16 or amp_backend == "native":
        return False
    if not device.has_fp16:
        if amp_backend == "apex":
            raise UsageError(
                f"--amp_backend apex: apex computes in fp16, and {device} does not: leave the flag out"
            )
        return False
    try:
        if find_amp() is not None:
            return True
        reason = "NVIDIA's or Ascend's apex is not installed (PyPI's is another project)"
    except (ImportError, OSError, AttributeError) as error:  # It was built for another torch, say.
        reason = f"apex is installed, but does not load: {error_line(error)}"
        if amp_backend == "auto":
            logger.warning("%s; torch's own mixed precision takes its place", reason)
    if amp_backend == "apex":
        raise UsageError(f"--amp_backend apex: {reason}; --amp_backend native needs none")
    return False


def half_type(flags: PrecisionFlags) -> torch.dtype | None:
    """Return the type of the products on an accelerator; None for fp32."""
    if flags.bf16:
        return torch.bfloat16
    return torch.float16 if flags.fp16 and flags.fp16_opt_level != "O0" else None


def check_bf16(flag: str, device: Device, remedy: str) -> None:
    """See that the device computes in bf16, as ``flag`` asks it to.

    Raises:
        UsageError: it does not; tells the remedy.
    """
    if not device.has_bf16:
        raise UsageError(f"{flag}: {device} cannot compute in bf16; {remedy}")


def build_precision(
    flags: PrecisionFlags,
    model: nn.Module,
    optimizer: Optimizer,
    device: Device,
    processes: Processes,
    by_apex: bool,
) -> Precision:
    """Return the precision that ``flags`` ask for on ``device``, the same in all processes.

    Its ``description`` says in words what runs, also where that is not what was asked for.

    Args:
        by_apex: what :func:`uses_apex` says of these.

    Raises:
        UsageError: the device cannot do it.
    """
    if flags.bf16:
        check_bf16("--bf16", device, "--fp16 can")
        if flags.fp16_opt_level == "O2":
            return Bf16MasterWeights(model, optimizer)
        return Bf16Autocast(model, optimizer, device)
    if not flags.fp16:
        return Fp32(model, optimizer)
    if by_apex:
        return ApexAmp(model, optimizer, device, flags.fp16_opt_level, flags.loss_scale)
    if flags.fp16_opt_level == "O0":
        return Fp32(model, optimizer)
    if not device.has_fp16:
        return _cpu_fp16(model, optimizer, device, processes)
    return LEVELS[flags.fp16_opt_level](model, optimizer, device, flags.loss_scale)


def _cpu_fp16(
    model: nn.Module, optimizer: Optimizer, device: Device, processes: Processes
) -> Precision:
    """Return bf16 autocast where the CPUs of all processes have units for it, else fp32."""
    precision: Precision
    some_lack_units = processes.all_reduce_max(not device.fast_bf16, device)
    if some_lack_units:
        precision = Fp32(model, optimizer)
        whose = "that of another process" if device.fast_bf16 else "this CPU"
        why = f"{whose} has no units for bf16"
    else:
        precision = Bf16Autocast(model, optimizer, device)
        why = f"this CPU has units for bf16: {device.fast_bf16}"
    precision.description += f" (--fp16 on a CPU: {why})"
    return precision
