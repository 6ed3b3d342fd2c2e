"""The processes that train together, and the few things they tell each other beside gradients.

All of it goes over gloo, also where the gradients take NCCL: a handful of bytes need no GPU, and no GPU has to wait for
them. A process alone is a world of one, for which every operation is free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from backprop_tui.protocol.errors import BackpropError, RunFailed

T = TypeVar("T")
#: Exit code of a process whose fellows are gone: not its own fault, and nothing to tell.
EXIT_FORSAKEN = 75
#: What torch's exceptions are called, and how gloo words it, when the other end of a connection is gone or silent.
_KINDS = ("DistBackendError", "DistNetworkError", "DistStoreError")
_WORDS = ("connection closed by peer", "connection reset by peer", "gloo", "broken pipe", "timed out waiting", "nccl")
#: What is a process's own affair, however its libraries word it.
_OWN = ("out of memory", "alloc")


@dataclass(frozen=True, slots=True)
class World:
    """Who trains together.

    Attributes:
        rank, size: this process's number among all, and how many there are.
        local_rank, local_size: the same on this machine.
        node, nodes: this machine's number, and how many there are.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node: int = 0
    nodes: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> World:
        """As torchrun says it in the environment."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
        if any(not environment.get(name, "").isdecimal() for name in names):
            return cls()
        return cls(*(int(environment[name]) for name in names))

    @property
    def alone(self) -> bool:
        """Whether there is nobody else."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this process speaks with the host and writes to the run's directory."""
        return self.rank == 0

    def meet(self, *, cpu: bool, patience: float) -> None:
        """Connect with the others; `patience` is in seconds and holds for every later exchange as well.

        `cpu` leaves GPUs alone, where there are any.

        Raises:
            RunFailed: somebody did not come.
        """
        import torch
        import torch.distributed as dist

        if self.alone or dist.is_initialized():
            return
        on_gpu = not cpu and torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(self.local_rank)
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        try:
            dist.init_process_group(backend, timeout=timedelta(seconds=patience))
            self.barrier()
        except (RuntimeError, ValueError) as error:
            raise RunFailed(
                "RANKS_DID_NOT_MEET",
                f"The {self.size} processes did not find each other: {error}",
                "Check that the meeting point can be reached from every machine, then resume.",
            ) from error

    def part(self) -> None:
        """Disconnect; nothing is exchanged any more."""
        import torch.distributed as dist

        if not self.alone and dist.is_initialized():
            dist.destroy_process_group()

    def barrier(self) -> None:
        """Wait for all."""
        self.total(0)

    def total(self, *values: int) -> list[int]:
        """The sums over all processes."""
        return self._reduce(values, "SUM")

    def most(self, *values: int) -> list[int]:
        """The largest of all processes."""
        return self._reduce(values, "MAX")

    def total_of_pairs(self, pairs: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """The sums of pairs of figures over all processes, by name, in double precision; the same everywhere."""
        if self.alone:
            return dict(pairs)
        told = self.of_all(dict(pairs))
        names = list(dict.fromkeys(name for words in told for name in words))
        sums: dict[str, tuple[float, float]] = {}
        for name in names:
            ones = [words[name] for words in told if name in words]
            sums[name] = sum(one for one, _ in ones), sum(other for _, other in ones)
        return sums

    def rounds(self, pieces: int) -> Iterator[tuple[int, bool]]:
        """This process's share of some pieces of work, equally many for each: those left over at the end are done by all.

        Yields:
            The number of a piece, and whether it counts here.
        """
        shared = pieces - pieces % self.size
        yield from ((place, True) for place in range(self.rank, shared, self.size))
        yield from ((place, self.first) for place in range(shared, pieces))

    def from_first(self, value: T) -> T:
        """The first process's value, everywhere; that of the others is ignored."""
        if self.alone:
            return value
        import torch
        import torch.distributed as dist

        words: list[Any] = [value if self.first else None]
        dist.broadcast_object_list(words, src=0, device=torch.device("cpu"))
        told: T = words[0]
        return told

    def of_all(self, value: T) -> list[T]:
        """Everybody's values by rank, everywhere."""
        if self.alone:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def first_does(self, action: Callable[[], T]) -> T:
        """Let the first process do something while the others wait; what comes of it, everywhere.

        Raises:
            BackpropError: it went wrong, with the first process's words.
        """
        if self.alone:
            return action()
        outcome: T | None = None
        failure: tuple[type[BackpropError], str, str, str, dict[str, Any]] | None = None
        if self.first:
            try:
                outcome = action()
            except BackpropError as error:
                failure = (type(error), error.code, error.cause, error.next_step, error.detail)
        outcome, failure = self.from_first((outcome, failure))
        if failure is not None:
            kind, code, cause, following, detail = failure
            raise kind(code, cause, following, detail)
        return outcome  # type: ignore[return-value]

    def one_per_machine_first(self, action: Callable[[], T]) -> T:
        """Let one process of each machine do something, then the others: they find it done, as in a cache on disk."""
        if self.alone or self.local_rank == 0:
            done = action()
            self.barrier()
            return done
        self.barrier()
        return action()

    def _reduce(self, values: tuple[int, ...], how: str) -> list[int]:
        if self.alone:
            return list(values)
        import torch
        import torch.distributed as dist

        figures = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(figures, op=getattr(dist.ReduceOp, how))
        return [int(figure) for figure in figures]


@cache
def world() -> World:
    """The world of this process."""
    return World.of(os.environ)


def is_forsaken(error: BaseException | None) -> bool:
    """Whether an exception only says that another process is gone: then it is that one's story which should be told."""
    while error is not None:
        if any(words in str(error).lower() for words in _OWN):
            return False
        if any(kind.__name__ in _KINDS for kind in type(error).__mro__):
            return True
        if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__
    return False
