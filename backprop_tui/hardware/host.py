"""The machine under a run: processor, memory, disk, and the worker's own memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.protocol.events import HostReading

if TYPE_CHECKING:
    import psutil

_CGROUP = Path("/sys/fs/cgroup")


class HostSampler:
    """Reads the machine again and again; processor load is the mean since the reading before.

    Args:
        disk_path: any path on the disk whose free space matters; it need not exist yet.
        cgroup: where the control group's files are (a container's memory limit is the one that kills).
    """

    def __init__(self, disk_path: Path, cgroup: Path = _CGROUP) -> None:
        self._disk = disk_path
        self._cgroup = cgroup
        self._worker: psutil.Process | None = None
        self._primed = False

    def read(self, worker_pid: int | None = None) -> HostReading:
        """One reading; `worker_rss` is None without a living process `worker_pid`, `cpu` at the first reading."""
        used, total = self._memory()
        free, size = self._disk_space()
        return HostReading(
            cpu=self._cpu(),
            memory_used=used,
            memory_total=total,
            worker_rss=self._rss(worker_pid),
            disk_free=free,
            disk_total=size,
        )

    def _cpu(self) -> float | None:
        import psutil

        try:
            percent = psutil.cpu_percent(interval=None)
        except (OSError, RuntimeError):
            return None
        # The first call has nothing to compare with and says 0.0, which would read as an idle machine.
        first, self._primed = not self._primed, True
        return None if first else percent

    def _memory(self) -> tuple[int | None, int | None]:
        import psutil

        try:
            memory = psutil.virtual_memory()
        except (OSError, RuntimeError):
            return None, None
        limit = _number(self._cgroup / "memory.max")
        current = _number(self._cgroup / "memory.current")
        if limit is not None and current is not None and limit < memory.total:
            return max(0, current - self._reclaimable()), limit
        return memory.total - memory.available, memory.total

    def _reclaimable(self) -> int:
        try:
            lines = (self._cgroup / "memory.stat").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)

    def _rss(self, pid: int | None) -> int | None:
        import psutil

        if pid is None:
            return None
        try:
            if self._worker is None or self._worker.pid != pid:
                self._worker = psutil.Process(pid)
            if not self._worker.is_running() or self._worker.status() == psutil.STATUS_ZOMBIE:
                self._worker = None
                return None
            return int(self._worker.memory_info().rss)
        except (psutil.Error, OSError):
            self._worker = None
            return None

    def _disk_space(self) -> tuple[int | None, int | None]:
        import shutil

        place = self._disk
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            return None, None
        return usage.free, usage.total


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
