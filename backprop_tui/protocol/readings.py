"""What the sensors say: a GPU, the processes on it, the machine, and the `telemetry` event that carries them.

Every value of a sensor may be None, which means unknown, never zero.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class GpuProcess(TypedDict):
    """A process on a GPU: bytes it holds there, and whether it belongs to this run."""

    pid: int
    name: str | None
    memory: int | None
    ours: bool


class GpuReading(TypedDict):
    """One GPU: degrees Celsius, percent, bytes, watts, MHz. Any value may be None; `unknown` then says why, by key.

    The keys from `name` on change rarely. A reading leaves out those that are as they were said last
    (`protocol.telemetry` puts readings together again).

    `throttle` lists what holds the clocks down (keys of `telemetry.THROTTLES`), `run_memory` is what this run's processes
    hold, `ecc_*` count errors since the driver was loaded, `others` counts the processes not listed.
    """

    index: int
    temperature: float | None
    utilisation: float | None
    memory_used: int | None
    run_memory: int | None
    power: float | None
    fan: float | None
    clock: float | None
    memory_clock: float | None
    throttle: list[str] | None
    name: NotRequired[str | None]
    memory_total: NotRequired[int | None]
    power_limit: NotRequired[float | None]
    slowdown: NotRequired[float | None]
    shutdown: NotRequired[float | None]
    max_operating: NotRequired[float | None]
    clock_max: NotRequired[float | None]
    memory_clock_max: NotRequired[float | None]
    pcie_generation: NotRequired[int | None]
    pcie_generation_max: NotRequired[int | None]
    pcie_width: NotRequired[int | None]
    pcie_width_max: NotRequired[int | None]
    ecc_corrected: NotRequired[int | None]
    ecc_uncorrected: NotRequired[int | None]
    processes: NotRequired[list[GpuProcess] | None]
    others: NotRequired[int]
    unknown: NotRequired[dict[str, str]]


class HostReading(TypedDict):
    """The machine and the run's processes: percent, bytes, bytes per second, degrees Celsius. Any value may be None.

    `cpu` is the share of all cores, `run_cpu` counts 100 per core, `load` is the mean queue of the last minute.
    `worker_rss` is the worker's resident set, `run_memory` that of its whole process tree, `disk_*` the run's disk and
    `network_*` every real interface. `unknown` says by key why a value is missing.
    """

    cpu: float | None
    cores: int | None
    load: float | None
    temperature: float | None
    temperature_high: float | None
    memory_used: int | None
    memory_total: int | None
    swap_used: int | None
    swap_total: int | None
    worker_rss: int | None
    run_cpu: float | None
    run_memory: int | None
    run_processes: int | None
    run_read: float | None
    run_written: float | None
    disk_free: int | None
    disk_total: int | None
    disk_read: float | None
    disk_written: float | None
    network_in: float | None
    network_out: float | None
    unknown: dict[str, str]


class TelemetryPayload(TypedDict):
    """One reading of the sensors. `gpu_reason` says why `gpus` is empty ("no NVIDIA driver").

    `logs` is how long worker.log and host.log were at that moment, in bytes: where their lines lie between the events.
    """

    gpus: list[GpuReading]
    gpu_reason: str | None
    host: HostReading
    logs: NotRequired[dict[str, int]]
