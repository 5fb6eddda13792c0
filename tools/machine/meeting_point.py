"""Where the processes of a run find each other: the address of the first of them."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tools.cli.errors import UsageError, first_line

_POLL_SECONDS = 0.2
_IN_USE = re.compile("EADDRINUSE|address already in use", re.IGNORECASE)
_STRANGER = re.compile("Ping failed")
_SILENT = re.compile("timed? ?out", re.IGNORECASE)


@dataclass(frozen=True)
class MeetingPoint:
    """``host`` and ``port`` of the process that waits for the others.

    ``names`` are those of the variables or flags that say so, and of the limit of the others' patience.
    """

    host: str
    port: int
    names: tuple[str, str, str] = ("MASTER_ADDR", "MASTER_PORT", "--ddp_timeout")

    @classmethod
    def from_environment(cls) -> MeetingPoint:
        """Return what torchrun's variables say, or else those of a run on this machine alone."""
        return cls(
            os.environ.get("MASTER_ADDR", "localhost"), int(os.environ.get("MASTER_PORT", 0))
        )

    def __str__(self) -> str:
        return f"{self.names[0]}={self.host} {self.names[1]}={self.port}"

    def check_host(self) -> None:
        """See that the network knows the machine.

        Raises:
            UsageError: it does not.
        """
        try:
            socket.getaddrinfo(self.host, None)
        except (OSError, UnicodeError) as error:
            raise UsageError(
                f"{self.names[0]} {self.host}: no machine is known by that name ({first_line(error)}): "
                "correct it, or give its IP address"
            ) from error

    def wait_for(self, timeout: float) -> None:
        """Wait until somebody listens there; torch, which waits as well, prints its own code meanwhile.

        Raises:
            UsageError: as :meth:`check_host`.
            TimeoutError: nobody listens there within ``timeout`` seconds.
        """
        self.check_host()
        until = time.monotonic() + timeout
        while True:
            try:
                left = max(until - time.monotonic(), _POLL_SECONDS)
                socket.create_connection((self.host, self.port), timeout=left).close()
                return
            except OSError as error:
                if time.monotonic() >= until:
                    raise self._apart(timeout) from error
                time.sleep(_POLL_SECONDS)

    @contextmanager
    def explaining(self, timeout: float) -> Iterator[None]:
        """Say what it means that processes do not come together, in at most ``timeout`` s, in the block.

        Raises:
            UsageError: another program has the port.
            TimeoutError: a process is missing.
        """
        try:
            yield
        except RuntimeError as error:  # So are all errors of torch's stores.
            text = str(error)
            if _IN_USE.search(text) or _STRANGER.search(text):
                raise UsageError(
                    f"{self} is where another program listens: choose another port"
                ) from error
            if _SILENT.search(text):
                raise self._apart(timeout) from error
            raise

    def _apart(self, timeout: float) -> TimeoutError:
        limit = f" ({self.names[2]})" if self.names[2] else ""
        return TimeoutError(
            f"the processes did not find each other within {timeout:g} s{limit}: one of them did not "
            f"start, or does not reach {self}, where the one of rank 0 waits"
        )
