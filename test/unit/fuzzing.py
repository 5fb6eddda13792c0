"""Files changed at random, by a seed, for readers that are to read them or say in one line what is wrong.

ALBERT_FUZZ_CASES is how many of each kind (default 10,000), ALBERT_FUZZ_SEED where they begin.
"""

import os
import random
import resource
import time
from collections import Counter

from tools.cli.errors import UsageError, error_line

CASES = int(os.environ.get("ALBERT_FUZZ_CASES", "10000"))
SEED = int(os.environ.get("ALBERT_FUZZ_SEED", "0"))
OWN = (ValueError, OSError, UsageError)
# What counts, lengths and offsets are changed to.
_NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\x01\0")
_MOST_SECONDS = 20.0  # For one case, on a machine that has other work, too.
_MOST_MEGABYTES = 300  # That the process may grow by.


def mutate(data, rng):
    """Return ``data`` with one to eight changes, and one time in six cut off."""
    changed = bytearray(data)
    if rng.randrange(6) == 0:
        del changed[rng.randrange(len(changed)) :]
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        kind = rng.randrange(6)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 16)]
        elif kind == 3:
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 4:
            changed[at : at + 4] = rng.choice(_NUMBERS)
        else:
            other = rng.randrange(len(changed))
            changed[at : at + 8] = changed[other : other + 8]
    return bytes(changed)


def error_of(call):
    """Return what ``call()`` raises, or None."""
    try:
        call()
    except Exception as error:
        return error
    return None


def fuzz(path, make, read, cases=CASES):
    """Write ``cases`` files, each as ``make(rng)`` returns it, to ``path`` and have ``read()`` read it.

    Whatever is raised must be one of the project's own errors, and the line that a user sees must have the
    file's name. Returns how many were read and how many refused.
    """
    found = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(SEED, SEED + cases):
        content = make(random.Random(f"{path.name} {number}"))
        path.write_bytes(content)
        began = time.monotonic()
        error = error_of(read)
        if error is not None:
            line = error_line(error)
            own = isinstance(error, OWN) and not isinstance(error, UnicodeError)
            assert own, f"case {number}: {type(error).__name__}: {line}"
            assert path.name in line, f"case {number} names no file: {line}"
            assert len(line) < 1000, f"case {number} is no line to read: {line}"
        found["read" if error is None else "refused"] += 1
        assert time.monotonic() - began < _MOST_SECONDS, f"case {number} took too long"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < _MOST_MEGABYTES, f"the process grew by {grown:.0f} MB"
    return found
