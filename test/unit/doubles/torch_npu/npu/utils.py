"""``torch_npu.npu.utils``: how to ask whether something overflowed."""

from __future__ import annotations

from torch_npu import _chip, _overflow


def is_support_inf_nan() -> bool:
    """Return whether an overflow leaves an infinity; where not, it leaves a flag."""
    return _chip.has(_chip.INFINITY)


def get_npu_overflow_flag() -> bool:
    """Return whether anything overflowed since the flag was cleared."""
    if is_support_inf_nan():
        raise RuntimeError(
            "Unsupported api when soc_version >= Ascend910B1, please use npu_check_overflow"
        )
    return _overflow.flagged()


def clear_npu_overflow_flag() -> None:
    """Forget what overflowed."""
    _overflow.clear_flag()
