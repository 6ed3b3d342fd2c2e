"""Several processes that train one run together, without torchrun: forked from a server that has imported everything once.

Each is a real process with a real `Session` and real gloo between them; what torchrun adds (and the seconds its imports
take) is left to the tests that need it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from backprop_tui.store.layout import RunDir
from tests.support.worker_driver import Driver, new_run

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.ranks_inside"])


class Ranks(Driver):
    """`size` processes; the first speaks over the pipes."""

    def __init__(
        self, run: RunDir, size: int, *, resume: str | None = None, env: Mapping[int, Mapping[str, str]] | None = None
    ) -> None:
        super().__init__(run)
        port = free_port()
        # Forked from a server: descriptors are handed over by name, as torchrun's workers get them.
        pipes = (os.getpid(), self.events_out, self.control_in)
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        self.processes = []
        from tests.support.ranks_inside import work

        for rank in range(size):
            told = {
                "RANK": str(rank),
                "WORLD_SIZE": str(size),
                "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(size),
                "GROUP_RANK": "0",
                "GROUP_WORLD_SIZE": "1",
                **common,
                **dict((env or {}).get(rank, {})),
            }
            process = _CONTEXT.Process(target=work, args=(str(run.path), told, pipes if not rank else None, resume))
            process.start()
            self.processes.append(process)
        self.listen()

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            for process in self.processes:
                process.kill()
        for process in self.processes:
            process.join(60)
        self.hang_up()
        with contextlib.suppress(OSError):
            os.close(self.events_out)

    def codes(self) -> list[int | None]:
        """Exit codes, once all have ended."""
        for process in self.processes:
            process.join(60)
        return [process.exitcode for process in self.processes]


def train_together(size: int, **overrides: Any) -> Ranks:
    """Train a quick spec with so many processes to its end, and hand back what they said."""
    with Ranks(new_run(devices=size, device="cpu", **overrides), size) as ranks:
        ranks.ended()
    return ranks


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def together(run: RunDir, size: int, **options: Any) -> Iterator[Ranks]:
    """A context of running ranks."""
    with Ranks(run, size, **options) as ranks:
        yield ranks
