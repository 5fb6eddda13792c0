"""How threads of the CPU wait for each other; to be settled before torch is imported, and without it.

Threads that have done their part of a product spin until the others have done theirs. That is the fastest
where each has a core, and a waste where another program has it: beside two busy programs on two cores,
steps with two threads took five to six times as long as with one thread, and 0.75 to 1.0 times as long
where threads that wait leave their core at once. The number of threads stays as it is, since the last bits
of a run's sums depend on it.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

# OpenMP's variable and those of its runtimes. A user who has set one of them knows better.
_POLICY = "OMP_WAIT_POLICY"
_PASSIVE = "passive"
_OTHERS = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_SAMPLES, _SECONDS = 5, 0.004


def wait_policy(environment: Mapping[str, str], cores: int, busy: float) -> dict[str, str]:
    """Return the variable that has threads leave their core while they wait, if that is better.

    Args:
        environment: the variables that are set.
        cores: of the machine.
        busy: threads of other programs that run now.
    """
    if any(name in environment for name in (_POLICY, *_OTHERS)):
        return {}
    number = environment.get("OMP_NUM_THREADS", "")
    threads = int(number) if number.isdecimal() else cores
    return {_POLICY: _PASSIVE} if threads > 1 and threads + busy > cores else {}


def count_busy() -> float:
    """Return how many threads beside this one run or wait for a core now; 0 where no file says it."""
    counts = []
    for _ in range(_SAMPLES):
        try:
            running = Path("/proc/loadavg").read_text().split()[3]
            counts.append(int(running.partition("/")[0]) - 1)
        except (OSError, IndexError, ValueError):
            return 0.0
        time.sleep(_SECONDS)
    return statistics.median(counts)


def settle_waiting() -> None:
    """Set the variable for this process and those that it starts, before a library reads it."""
    cores = os.cpu_count() or 1
    if wait_policy(
        os.environ, cores, math.inf
    ):  # Else what runs now, which takes time to see, says nothing.
        os.environ.update(wait_policy(os.environ, cores, count_busy()))


def waiting_remark(environment: Mapping[str, str]) -> str | None:
    """Return one line for the log where threads leave their core while they wait, whoever settled it."""
    if environment.get(_POLICY, "").strip().lower() != _PASSIVE:
        return None
    return (
        f"threads that wait leave their core ({_POLICY}={_PASSIVE}), as is best where other programs "
        f"compute; {_POLICY}=active has them keep it"
    )
