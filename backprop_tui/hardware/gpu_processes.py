"""Who uses a GPU: the driver's list of processes, with names from the system and the run's own ones told apart."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from backprop_tui.protocol.readings import GpuProcess
from backprop_tui.protocol.text import safe_text

#: Names remembered; a card shared by many users sees many.
_NAMES = 256


class ProcessNames:
    """Names of processes, each looked up once."""

    def __init__(self) -> None:
        self._known: dict[int, str | None] = {}

    def of(self, pid: int) -> str | None:
        """The harmless name of a process, None when it is another container's or has ended."""
        if pid not in self._known:
            if len(self._known) >= _NAMES:
                self._known.clear()
            self._known[pid] = _name(pid)
        return self._known[pid]

    def keep(self, pids: Collection[int]) -> None:
        """Forget all others: a number that comes back later is another process."""
        self._known = {pid: name for pid, name in self._known.items() if pid in pids}


def list_processes(nvml: Any, handle: Any, run_pids: Collection[int], names: ProcessNames) -> list[GpuProcess]:
    """Processes that compute or draw on a GPU: the run's first, then by memory.

    Raises:
        Exception: whatever NVML raises when it lists neither kind.
    """
    entries: list[Any] = []
    failed: Exception | None = None
    try:
        entries += _running(nvml, "nvmlDeviceGetComputeRunningProcesses", handle)
    except Exception as error:
        failed = error
    try:
        entries += _running(nvml, "nvmlDeviceGetGraphicsRunningProcesses", handle)
    except Exception:
        if failed is not None:
            raise failed from None
    found: dict[int, GpuProcess] = {}
    for entry in entries:
        pid, memory = int(entry.pid), entry.usedGpuMemory
        held = None if memory is None else int(memory)
        before = found.get(pid)
        if before is not None and (before["memory"] or 0) >= (held or 0):
            continue
        found[pid] = GpuProcess(pid=pid, name=names.of(pid), memory=held, ours=pid in run_pids)
    names.keep(found)
    return sorted(found.values(), key=lambda process: (not process["ours"], -(process["memory"] or 0), process["pid"]))


def _running(nvml: Any, call: str, handle: Any) -> Any:
    try:
        return getattr(nvml, call)(handle)
    except Exception:
        # Drivers before 510 know the list in its second form only.
        return getattr(nvml, f"{call}_v2")(handle)


def _name(pid: int) -> str | None:
    import psutil

    try:
        return safe_text(psutil.Process(pid).name(), limit=40)
    except Exception:
        return None
