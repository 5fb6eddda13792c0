"""The store at which the processes of a run met: what they tell each other without a device."""

from __future__ import annotations

import os
from datetime import timedelta

from torch.distributed import PrefixStore, Store, TCPStore

# A busy machine may take long to answer at first, whatever the calls after that are given.
_CONNECT_SECONDS = 60.0


def open_store(seconds: float) -> Store:
    """Return a connection of one's own to the store, once the process group is there.

    Args:
        seconds: after which a call that waits gives up.

    Raises:
        RuntimeError: who keeps the store is gone or does not answer, also from each call.
    """
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        timeout=timedelta(seconds=max(seconds, _CONNECT_SECONDS)),
        wait_for_workers=False,
    )
    store.set_timeout(timedelta(seconds=seconds))
    # Processes that torchrun starts again may meet at the store of those before.
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"run/{start}", store)


def number_at(store: Store, key: str) -> int:
    """Return the number at ``key``; 0, without a wait, where there is none yet.

    Adding nothing says what is there. torch before 2.3 has no ``Store.check``, and comparing with what is
    there crashes in torch 2.1.

    Raises:
        RuntimeError: the store is gone.
    """
    return store.add(key, 0)
