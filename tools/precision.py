"""What --fp16, its level, --bf16 and --amp_backend mean on this machine."""

from __future__ import annotations

from argparse import Namespace

from torch import nn
from torch.optim import Optimizer

from tools.apex_amp import ApexAmp, find_amp
from tools.device import Device
from tools.distributed import Processes
from tools.errors import UsageError
from tools.full_precision import Autocast, FullPrecision
from tools.native_amp import LEVELS

OPT_LEVELS = ("O0", "O1", "O2", "O3")
AMP_BACKENDS = ("auto", "apex", "native")
# The share of fp32's time that bf16 may take on a CPU, so that it pays for the casts around it.
_WORTHWHILE = 0.7


def uses_apex(args: Namespace, device: Device) -> bool:
    """Return whether ``--fp16`` is apex's on this device: where it is installed, unless told otherwise.

    Raises:
        UsageError: ``--amp_backend apex`` where there is none.
    """
    if not args.fp16 or args.amp_backend == "native" or not device.has_fp16:
        return False
    if find_amp() is not None:
        return True
    if args.amp_backend == "apex":
        raise UsageError(
            "--amp_backend apex: NVIDIA's or Ascend's apex is not installed (PyPI's is another project); "
            "--amp_backend native needs none"
        )
    return False


def build_precision(
    args: Namespace,
    model: nn.Module,
    optimizer: Optimizer,
    device: Device,
    processes: Processes,
) -> FullPrecision:
    """Return the precision that ``args`` ask for on ``device``, the same in all processes.

    Its ``description`` says in words what runs, also where that is not what was asked for.

    Raises:
        UsageError: as :func:`uses_apex`; or the device cannot do it.
    """
    if args.bf16:
        if not device.has_bf16:
            raise UsageError(f"--bf16: {device} cannot compute in bf16; --fp16 can")
        return Autocast(model, optimizer, device)
    if not args.fp16:
        return FullPrecision(model, optimizer)
    if uses_apex(args, device):
        if args.torch_compile:
            raise UsageError("--torch_compile goes with --amp_backend native, not with apex")
        return ApexAmp(model, optimizer, device, args.fp16_opt_level, args.loss_scale)
    if args.fp16_opt_level == "O0":
        return FullPrecision(model, optimizer)
    if not device.has_fp16:
        share = processes.largest(device.bf16_time_share(), device)
        return _cpu_fp16(model, optimizer, device, share)
    return LEVELS[args.fp16_opt_level](model, optimizer, device, args.loss_scale)


def _cpu_fp16(
    model: nn.Module, optimizer: Optimizer, device: Device, share: float
) -> FullPrecision:
    """Return bf16 autocast where this CPU's matrix products are faster in it, else fp32."""
    precision: FullPrecision
    if share < _WORTHWHILE:
        precision, verdict = Autocast(model, optimizer, device), "less"
    else:
        precision, verdict = FullPrecision(model, optimizer), "no less"
    precision.description += (
        f" (--fp16 on a CPU: a matrix product in bf16 takes {share:.2g} of the time in fp32, {verdict} "
        "than what makes up for the casts)"
    )
    return precision
