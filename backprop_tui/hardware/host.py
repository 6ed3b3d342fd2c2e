"""The machine under a run: processor, memory, disk, network, and what the run's own processes take of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from backprop_tui.hardware.host_disk import block_device
from backprop_tui.hardware.host_tree import ProcessTree
from backprop_tui.protocol.readings import HostReading
from backprop_tui.protocol.text import safe_text

_CGROUP = Path("/sys/fs/cgroup")
#: Readings between two looks at the processor's temperature: some boards take milliseconds to answer.
_HEAT_EVERY = 5
#: Chips that sit on the processor, best first.
_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")
#: Interfaces that only pass on what a real one carries.
_NOT_REAL = ("lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "dummy")

T = TypeVar("T")


class HostSampler:
    """Reads the machine again and again; loads and rates are means since the reading before.

    Args:
        disk_path: any path on the disk whose free space matters; it need not exist yet.
        cgroup: where the control group's files are (a container's memory limit is the one that kills).
        clock: seconds, for rates.
    """

    def __init__(self, disk_path: Path, cgroup: Path = _CGROUP, clock: Callable[[], float] = time.monotonic) -> None:
        self._disk = disk_path
        self._cgroup = cgroup
        self._clock = clock
        self._tree = ProcessTree(clock)
        self._counters: dict[str, tuple[float, float]] = {}
        self._unknown: dict[str, str] = {}
        self._primed = False
        self._device: str | None = None
        self._device_known = False
        self._readings = 0
        self._heat: tuple[float | None, float | None] = None, None
        self._cold = ""

    @property
    def run_pids(self) -> frozenset[int]:
        """Processes of the run, as of the reading before."""
        return self._tree.pids

    def read(self, worker_pid: int | None = None) -> HostReading:
        """One reading; `worker_rss` is None without a living process `worker_pid`, rates at the first reading."""
        import psutil

        self._unknown = {}
        used, total = self._ask(("memory_used", "memory_total"), self._memory) or (None, None)
        swap = self._ask(("swap_used", "swap_total"), psutil.swap_memory)
        space = self._ask(("disk_free", "disk_total"), lambda: shutil.disk_usage(_existing(self._disk)))
        disk = self._ask(("disk_read", "disk_written"), self._disk_counters)
        wire = self._ask(("network_in", "network_out"), self._network_counters)
        self._take_temperature()
        run = self._tree.read(worker_pid)
        self._unknown |= dict.fromkeys(run.missing, run.why)
        return HostReading(
            cpu=self._ask(("cpu",), self._cpu),
            cores=self._ask(("cores",), psutil.cpu_count),
            load=self._ask(("load",), lambda: round(psutil.getloadavg()[0], 2)),
            temperature=self._heat[0],
            temperature_high=self._heat[1],
            memory_used=used,
            memory_total=total,
            swap_used=None if swap is None else int(swap.used),
            swap_total=None if swap is None else int(swap.total),
            worker_rss=run.worker_rss,
            run_cpu=run.cpu,
            run_memory=run.memory,
            run_processes=run.processes,
            run_read=run.read_rate,
            run_written=run.write_rate,
            disk_free=None if space is None else int(space.free),
            disk_total=None if space is None else int(space.total),
            disk_read=self._rate("disk_read", disk and disk[0]),
            disk_written=self._rate("disk_written", disk and disk[1]),
            network_in=self._rate("network_in", wire and wire[0]),
            network_out=self._rate("network_out", wire and wire[1]),
            unknown=self._unknown,
        )

    def _ask(self, keys: tuple[str, ...], question: Callable[[], T | None]) -> T | None:
        """An answer, or None with the reason under each key. psutil passes on whatever the system throws at it."""
        try:
            answer = question()
            why = "not given on this system"
        except Exception as error:
            answer, why = None, safe_text(error, limit=80) or type(error).__name__
        if answer is None:
            for key in keys:
                self._unknown.setdefault(key, why)
        return answer

    def _cpu(self) -> float | None:
        import psutil

        percent = float(psutil.cpu_percent(interval=None))
        # The first call has nothing to compare with and says 0.0, which would read as an idle machine.
        first, self._primed = not self._primed, True
        if first:
            self._unknown["cpu"] = "it takes two readings"
            return None
        return percent

    def _memory(self) -> tuple[int, int]:
        import psutil

        memory = psutil.virtual_memory()
        limit = _number(self._cgroup / "memory.max")
        current = _number(self._cgroup / "memory.current")
        if limit is not None and current is not None and limit < memory.total:
            return max(0, current - self._reclaimable()), limit
        return int(memory.total - memory.available), int(memory.total)

    def _reclaimable(self) -> int:
        try:
            lines = (self._cgroup / "memory.stat").read_text().splitlines()
            return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
        except (OSError, ValueError, IndexError):
            return 0

    def _disk_counters(self) -> tuple[float, float] | None:
        import psutil

        if not self._device_known:
            self._device, self._device_known = block_device(_existing(self._disk)), True
        if self._device is None:
            self._unknown |= dict.fromkeys(("disk_read", "disk_written"), "the run's disk is no device of this machine")
            return None
        counters = (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).get(self._device)
        return None if counters is None else (float(counters.read_bytes), float(counters.write_bytes))

    def _network_counters(self) -> tuple[float, float] | None:
        import psutil

        real = [
            counters
            for name, counters in psutil.net_io_counters(pernic=True, nowrap=False).items()
            if not name.startswith(_NOT_REAL)
        ]
        if not real:
            self._unknown |= dict.fromkeys(("network_in", "network_out"), "no network interface")
            return None
        return float(sum(one.bytes_recv for one in real)), float(sum(one.bytes_sent for one in real))

    def _rate(self, key: str, count: float | None) -> float | None:
        """Bytes per second since the reading before; a counter that went back began anew and says nothing."""
        now = self._clock()
        before = self._counters.pop(key, None)
        if count is None:
            return None
        self._counters[key] = now, count
        if before is None or now <= before[0] or count < before[1]:
            self._unknown[key] = "it takes two readings"
            return None
        return round((count - before[1]) / (now - before[0]), 1)

    def _take_temperature(self) -> None:
        if self._readings % _HEAT_EVERY == 0:
            self._heat, self._cold = (None, None), ""
            found = self._ask(("temperature",), _processor_heat)
            if found is None:
                self._cold = self._unknown.get("temperature", "")
            else:
                self._heat = found
        elif self._cold:
            self._unknown["temperature"] = self._cold
        self._readings += 1


def _processor_heat() -> tuple[float, float | None] | None:
    import psutil

    sensors: Any = getattr(psutil, "sensors_temperatures", dict)()
    for chip in _CHIPS:
        entries = [entry for entry in sensors.get(chip, ()) if entry.current and 0 < entry.current < 150]
        if entries:
            warmest = max(entries, key=lambda entry: entry.current)
            return round(float(warmest.current), 1), float(warmest.high) if warmest.high else None
    return None


def _existing(place: Path) -> Path:
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
