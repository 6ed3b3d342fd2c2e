"""A run's processes: the worker and whatever it started, and what they take together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

#: Readings between two looks for children: a worker starts them once, if at all.
_LOOK_EVERY = 5
#: Processes counted one by one; a run of ours has a handful.
_MOST = 64
_KEYS = ("worker_rss", "run_cpu", "run_memory", "run_processes", "run_read", "run_written")


@dataclass(frozen=True, slots=True)
class TreeReading:
    """Bytes, bytes per second, and percent where 100 is one core. `why` is the reason for those in `missing`."""

    worker_rss: int | None = None
    cpu: float | None = None
    memory: int | None = None
    processes: int | None = None
    read_rate: float | None = None
    write_rate: float | None = None
    missing: tuple[str, ...] = ()
    why: str = ""


class ProcessTree:
    """Follows one worker's processes from reading to reading.

    Args:
        clock: seconds, for rates.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._processes: dict[int, psutil.Process] = {}
        self._before: dict[int, tuple[float, float, float]] = {}
        self._at: float | None = None
        self._root: int | None = None
        self._readings = 0

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the reading before."""
        return frozenset(self._processes)

    def read(self, root: int | None) -> TreeReading:
        """Add up the processes under `root`, itself included. Whatever psutil raises makes a value None."""
        if root is None:
            return self._nothing("no worker process")
        if root != self._root:
            self._processes, self._before, self._at, self._root, self._readings = {}, {}, None, root, 0
        if self._readings % _LOOK_EVERY == 0:
            self._look(root)
        self._readings += 1
        now = self._clock()
        seconds = None if self._at is None or now <= self._at else now - self._at
        counts: dict[int, tuple[float, float, float]] = {}
        memory: dict[int, int] = {}
        missing: set[str] = set()
        for pid, process in list(self._processes.items()):
            figures = _figures(process)
            if figures is None:
                del self._processes[pid]
                continue
            memory[pid], counts[pid], has_io = figures
            if not has_io:
                missing |= {"run_read", "run_written"}
        before, self._before, self._at = self._before, counts, now
        if root not in memory:
            return self._nothing("the worker has ended")

        def rate(which: int) -> float | None:
            # A process seen for the first time has a past that is not of this interval.
            gained = sum(max(0.0, counts[pid][which] - before[pid][which]) for pid in counts if pid in before)
            return None if seconds is None or not before else gained / seconds

        cpu = rate(0)
        read, written = (None, None) if missing else (rate(1), rate(2))
        if cpu is None:
            missing |= {"run_cpu", "run_read", "run_written"}
        return TreeReading(
            worker_rss=memory[root],
            cpu=None if cpu is None else round(cpu * 100, 1),
            memory=sum(memory.values()),
            processes=len(memory),
            read_rate=None if read is None else round(read, 1),
            write_rate=None if written is None else round(written, 1),
            missing=tuple(sorted(missing)),
            why="it takes two readings" if cpu is None else "not given for this process",
        )

    def _nothing(self, why: str) -> TreeReading:
        self._processes, self._before, self._at = {}, {}, None
        return TreeReading(missing=_KEYS, why=why)

    def _look(self, root: int) -> None:
        import psutil

        for pid in (root, *_descendants(root)):
            if pid not in self._processes and len(self._processes) < _MOST:
                try:
                    self._processes[pid] = psutil.Process(pid)
                except Exception:
                    continue


def _figures(process: psutil.Process) -> tuple[int, tuple[float, float, float], bool] | None:
    """Resident bytes; processor seconds, bytes read and written; whether the latter are known. None once it is gone."""
    import psutil

    try:
        with process.oneshot():
            # A number that was given to another process is not this one any more, and a zombie takes nothing.
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return None
            memory = int(process.memory_info().rss)
            times = process.cpu_times()
    except Exception:
        return None
    try:
        moved = process.io_counters()
        return memory, (times.user + times.system, float(moved.read_bytes), float(moved.write_bytes)), True
    except Exception:
        return memory, (times.user + times.system, 0.0, 0.0), False


def _descendants(root: int) -> list[int]:
    """Children of children, from the kernel's own lists: walking every process of a large machine costs far more."""
    found: list[int] = []
    waiting = [root]
    while waiting and len(found) < _MOST:
        pid = waiting.pop()
        try:
            lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        except OSError:
            if pid == root:
                return _by_psutil(root)
            continue
        children = [int(word) for text in lists for word in text.split() if word.isdigit()]
        found += children
        waiting += children
    return found


def _by_psutil(root: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(root).children(recursive=True)]
    except Exception:
        return []
