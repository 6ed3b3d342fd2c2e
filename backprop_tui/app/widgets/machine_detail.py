"""Everything known of one GPU and of the host, one figure per line, unknown ones with the reason why."""

from __future__ import annotations

from typing import Any

from backprop_tui.app import wording
from backprop_tui.app.widgets.gauge import bar, spark
from backprop_tui.app.widgets.machine_grid import Gpu, Look
from backprop_tui.app.widgets.machine_words import (
    gpu_name,
    heat,
    held_down,
    of,
    percent,
    rate,
    share,
    watts,
    with_age,
)
from backprop_tui.app.widgets.painted import Line, Piece
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.text import safe_text

_LABEL = 15


def gpu_detail(gpu: Gpu, width: int, look: Look, *, many: bool) -> list[Line]:
    """One GPU in full. `many` says that it is one of several."""
    now, glyphs, index = look.now, look.glyphs, gpu["index"]
    room = max(8, min(60, width - _LABEL - 24))
    used, total, ours = (number(gpu.get(key)) for key in ("memory_used", "memory_total", "run_memory"))
    load = number(gpu.get("utilisation"))

    def history(key: str, low: float, high: float | None, role: str) -> Line:
        signs = spark(look.sensors.gpu(index, key), room, glyphs, low=low, high=high)
        return _row("", (signs, role), ("  lately", "muted"))

    title = f" GPU{index}  {gpu_name(gpu) or 'unknown model'}"
    lines: list[Line] = [((title, "strong"), ("   ↑↓ another card" if many else "", "muted"))]
    limits = [
        f"{word} {number(gpu.get(key)):.0f}"
        for key, word in (("slowdown", "slows at"), ("shutdown", "off at"), ("max_operating", "made for"))
        if number(gpu.get(key)) is not None
    ]
    warmth = heat(gpu, now, glyphs) if gpu.get("temperature") is not None else with_age(gpu, "temperature", now, "")
    lines.append(_row("temperature", warmth, (f"   {', '.join(limits) or 'limits not given'}", "muted")))
    lines.append(history("temperature", 30, number(gpu.get("slowdown")) or 95, "series-3"))
    if load is None:
        lines.append(_row("utilisation", with_age(gpu, "utilisation", now, "")))
    else:
        lines.append(_row("utilisation", *bar(load / 100, room, glyphs), (f" {percent(load)}", "text")))
    lines.append(history("utilisation", 0, 100, "series-1"))
    if used is None:
        lines.append(_row("memory", with_age(gpu, "memory_used", now, "")))
    else:
        gauge = bar(share(used, total), room, glyphs, "series-2")
        lines.append(_row("memory", *gauge, (f" {of(used, total)}", "text")))
    lines.append(_row("  this run", with_age(gpu, "run_memory", now, wording.size(ours))))
    power = watts(gpu, now) if gpu.get("power") is not None else with_age(gpu, "power", now, "")
    lines.append(_row("power", power))
    lines.append(history("power", 0, number(gpu.get("power_limit")), "series-4"))
    lines.append(_row("clock", *_speed(gpu, "clock", now)))
    lines.append(_row("  of memory", *_speed(gpu, "memory_clock", now)))
    reasons = held_down(gpu)
    free: Piece = ("by nothing", "muted") if gpu.get("throttle") is not None else with_age(gpu, "throttle", now, "")
    lines.append(_row("held down", reasons if reasons[0] else free))
    fan = number(gpu.get("fan"))
    lines.append(_row("fan", with_age(gpu, "fan", now, f"{fan:.0f} %" if fan is not None else "")))
    lines.append(_row("PCIe", _pcie(gpu, now)))
    lines.append(_row("memory errors", _ecc(gpu, now)))
    return [*lines, *_processes(gpu, now)]


def host_detail(host: dict[str, Any], width: int, look: Look) -> list[Line]:
    """The machine and the run's processes."""
    now = look.now
    room = max(8, min(60, width - _LABEL - 24))
    lines = host_lines(host, width, look, label=_LABEL, room=room)
    history = spark(look.sensors.host("cpu"), room, look.glyphs, low=0, high=100)
    lines.insert(1, _row("", (history, "series-1"), ("  lately", "muted")))
    degrees, high = number(host.get("temperature")), number(host.get("temperature_high"))
    text = "" if degrees is None else f"{degrees:.0f}{look.glyphs.degree}" + (f"   high is {high:.0f}" if high else "")
    lines.append(_row("cpu heat", with_age(host, "temperature", now, text)))
    load, cores = number(host.get("load")), number(host.get("cores"))
    lines.append(
        _row("load", with_age(host, "load", now, f"{load:.2f} on {cores:.0f} cores" if load and cores else f"{load}"))
    )
    used, total = number(host.get("swap_used")), number(host.get("swap_total"))
    none = total == 0
    lines.append(_row("swap", ("none", "muted") if none else with_age(host, "swap_used", now, of(used, total))))
    return [((" machine", "strong"),), *lines]


def host_lines(host: dict[str, Any], width: int, look: Look, *, label: int = 9, room: int | None = None) -> list[Line]:
    """The machine in six lines, most important first."""
    glyphs, now = look.glyphs, look.now
    room = max(4, min(40, width - label - 15)) if room is None else room
    cpu, run_cpu = number(host.get("cpu")), number(host.get("run_cpu"))
    used, total = number(host.get("memory_used")), number(host.get("memory_total"))
    free, disk = number(host.get("disk_free")), number(host.get("disk_total"))
    run_memory = number(host.get("run_memory"))
    held = run_memory if run_memory is not None else number(host.get("worker_rss"))
    count = number(host.get("run_processes"))
    taken = None if free is None or disk is None else disk - free
    run = with_age(host, "worker_rss", now, wording.size(held)) if held is None else (wording.size(held), "text")
    busy = "" if run_cpu is None else f"  cpu {run_cpu:.0f} %"
    many = f"  {count:.0f} processes" if count is not None and count > 1 else ""

    def gauge(title: str, part: float | None, role: str, key: str, text: str) -> Line:
        if part is None:
            return _row(title, with_age(host, key, now, ""), label=label)
        return _row(title, *bar(part, room, glyphs, role), (f" {text}", "text"), label=label)

    return [
        gauge("cpu", share(cpu, 100.0), "series-1", "cpu", percent(cpu)),
        gauge("mem", share(used, total), "series-2", "memory_used", of(used, total)),
        gauge("disk", share(taken, disk), "series-3", "disk_free", f"{wording.size(free)} free"),
        _row("run", run, (f"{busy}{many}", "text"), label=label),
        _row("i/o", *_two(host, "disk_read", "disk_written", "read", "write", now), label=label),
        _row("network", *_two(host, "network_in", "network_out", "in", "out", now), label=label),
    ]


def host_row(host: dict[str, Any], width: int, look: Look) -> Line:
    """The machine in one line."""
    cpu = number(host.get("cpu"))
    used, total = number(host.get("memory_used")), number(host.get("memory_total"))
    room = 10 if width >= 76 else 5 if width >= 50 else 0
    free = f"{wording.size(number(host.get('disk_free')))} free"
    run = number(host.get("run_memory"))
    pieces: list[Piece] = [
        (" cpu ", "muted"), *bar(share(cpu, 100.0), room, look.glyphs), (f" {percent(cpu)}", "text"),
        ("  mem ", "muted"), *bar(share(used, total), room, look.glyphs, "series-2"), (f" {of(used, total)}", "text"),
    ]  # fmt: skip
    if width >= 50:
        pieces += [("  disk ", "muted"), (free, "text")]
    if width >= 100 and run is not None:
        pieces += [("  run ", "muted"), (wording.size(run), "text")]
    return tuple(pieces)


def _row(title: str, *pieces: Piece, label: int = _LABEL) -> Line:
    return ((f" {title:<{label - 1}}", "muted"), *pieces)


def _two(host: dict[str, Any], first: str, second: str, word: str, other: str, now: float | None) -> list[Piece]:
    one, two = number(host.get(first)), number(host.get(second))
    if one is None and two is None:
        return [with_age(host, first, now, "")]
    return [(f"{rate(one)} ", "text"), (f"{word}  ", "muted"), (f"{rate(two)} ", "text"), (other, "muted")]


def _speed(gpu: Gpu, key: str, now: float | None) -> list[Piece]:
    value, most = number(gpu.get(key)), number(gpu.get(f"{key}_max"))
    if value is None:
        return [with_age(gpu, key, now, "")]
    return [(f"{value:,.0f}", "text"), (f" of {most:,.0f} MHz" if most is not None else " MHz", "muted")]


def _pcie(gpu: Gpu, now: float | None) -> Piece:
    generation, best = number(gpu.get("pcie_generation")), number(gpu.get("pcie_generation_max"))
    lanes, most = number(gpu.get("pcie_width")), number(gpu.get("pcie_width_max"))
    if generation is None or lanes is None:
        return with_age(gpu, "pcie_generation" if generation is None else "pcie_width", now, "")
    text = f"generation {generation:.0f}" + (f" of {best:.0f}" if best is not None else "")
    text += f", {lanes:.0f}" + (f" of {most:.0f}" if most is not None else "") + " lanes"
    return text, "warn" if most is not None and lanes < most else "text"


def _ecc(gpu: Gpu, now: float | None) -> Piece:
    fixed, lost = number(gpu.get("ecc_corrected")), number(gpu.get("ecc_uncorrected"))
    if fixed is None or lost is None:
        return with_age(gpu, "ecc_corrected" if fixed is None else "ecc_uncorrected", now, "")
    return f"{fixed:,.0f} corrected, {lost:,.0f} not", "bad" if lost else "text"


def _processes(gpu: Gpu, now: float | None) -> list[Line]:
    listed = gpu.get("processes")
    if not isinstance(listed, list):
        return [_row("processes", with_age(gpu, "processes", now, ""))]
    if not listed:
        return [_row("processes", ("none", "muted"))]
    lines: list[Line] = []
    for process in listed:
        if not isinstance(process, dict):
            continue
        ours = bool(process.get("ours"))
        name = safe_text(process.get("name") or "not of this machine's", limit=24)
        pieces: list[Piece] = [
            (f"{safe_text(process.get('pid'), limit=12):>8}  ", "muted"),
            (f"{wording.size(number(process.get('memory'))):>8}  ", "text"),
            (name, "strong" if ours else "text"),
            ("  this run" if ours else "", "accent"),
        ]
        lines.append(_row("" if lines else "processes", *pieces))
    others = number(gpu.get("others"))
    if others:
        lines.append(_row("", (f"and {others:.0f} more", "muted")))
    return lines
