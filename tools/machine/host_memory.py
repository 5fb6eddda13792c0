"""The C library's allocator, set for work that asks for the same large blocks again and again."""

from __future__ import annotations

import ctypes

# These are parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Have the C library keep the memory of freed tensors for the next ones.

    glibc gives a large block back to the system when it is freed, so each step's tensors are mapped
    anew and the kernel clears every page of them once more: some ten thousand page faults a step on a CPU.
    Other C libraries have no such setting and are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS and Windows have no such function.
        return
    if not mallopt(_M_MMAP_THRESHOLD, 2**30):  # glibc before 2.35 allows 32 MiB at most.
        mallopt(_M_MMAP_THRESHOLD, 2**25)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 64 * 2**20)
