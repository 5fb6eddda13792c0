"""What an error that tells of too little memory looks like."""

from __future__ import annotations

# torch's allocators say so in their messages, an accelerator's and the CPU's, and CUDA's libraries in a
# status.
_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


def lacks_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that the device's or the machine's memory did not suffice."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(word in text for word in _WORDS)
