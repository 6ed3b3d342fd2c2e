"""Columns of the list of runs, and what stands in each: the words and their tones."""

from __future__ import annotations

from collections.abc import Callable

from backprop_tui.app import wording
from backprop_tui.app.app import state_role
from backprop_tui.app.widgets.table_rows import Column
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry

#: Always there if the width allows; any other column appears while it is sorted by.
COLUMNS = (
    Column("state", "state", 12),
    Column("id", "id", 4),
    Column("name", "name", 16, flex=True),
    Column("model", "model", 17, drop=3, middle=True),
    Column("data", "data", 14, drop=4, middle=True),
    Column("step", "step", 13, "right", drop=2),
    Column("loss", "loss", 8, "right"),
    Column("best", "best", 8, "right", drop=5),
    Column("age", "age", 7, "right", drop=1),
)
ON_DEMAND = {
    "eval": Column("eval", "eval", 8, "right"),
    "match": Column("match", "match", 7, "right"),
    "tokens": Column("tokens", "tokens", 8, "right"),
    "speed": Column("speed", "tok/s", 8, "right"),
    "time": Column("time", "time", 7, "right"),
    "energy": Column("energy", "energy", 9, "right"),
    "checkpoints": Column("checkpoints", "saves", 6, "right"),
    "tags": Column("tags", "tags", 14),
    "experiment": Column("experiment", "experiment", 14),
}


#: Text and role of a run's cell, given the time and whether only ASCII can be shown.
Cell = Callable[[Entry, float, bool], tuple[str, str]]


def _state(entry: Entry, now: float, ascii_only: bool) -> tuple[str, str]:
    state = entry.state
    place = f" {entry.place}" if entry.place is not None else ""
    return f"{state.ascii_glyph if ascii_only else state.glyph} {state.value}{place}", state_role(state)


def _step(entry: Entry, now: float, ascii_only: bool) -> tuple[str, str]:
    if entry.total_steps:
        return f"{entry.step:,}/{entry.total_steps:,}", ""
    return f"{entry.step:,}" if entry.step else wording.UNKNOWN, ""


def _model(entry: Entry, now: float, ascii_only: bool) -> tuple[str, str]:
    whole = entry.model.count("/") <= 1
    return safe_text(
        entry.model if whole else entry.model.rstrip("/").rsplit("/", 1)[-1], limit=200
    ) or wording.UNKNOWN, ""


def _data(entry: Entry, now: float, ascii_only: bool) -> tuple[str, str]:
    return safe_text(entry.data.rstrip("/").rsplit("/", 1)[-1], limit=200) or wording.UNKNOWN, ""


CELLS: dict[str, Cell] = {
    "state": _state,
    "id": lambda entry, now, _: (entry.short_id, "muted"),
    "model": _model,
    "data": _data,
    "step": _step,
    "loss": lambda entry, now, _: (wording.loss(entry.loss), "strong" if entry.state.live else ""),
    "best": lambda entry, now, _: (wording.loss(entry.best), ""),
    "eval": lambda entry, now, _: (wording.loss(entry.eval_loss), ""),
    "match": lambda entry, now, _: (wording.percent(entry.exact_match), ""),
    "tokens": lambda entry, now, _: (wording.short_count(entry.tokens), ""),
    "speed": lambda entry, now, _: (wording.short_count(entry.tokens_per_s), ""),
    "time": lambda entry, now, _: (wording.duration(entry.seconds), ""),
    "energy": lambda entry, now, _: (energy(entry.energy_wh), ""),
    "checkpoints": lambda entry, now, _: (str(entry.checkpoints), ""),
    "tags": lambda entry, now, _: (safe_text(" ".join(entry.tags), limit=100) or wording.UNKNOWN, ""),
    "experiment": lambda entry, now, _: (safe_text(entry.experiment, limit=100) or wording.UNKNOWN, ""),
    "age": lambda entry, now, _: (wording.age(now - entry.created if entry.created else None), "muted"),
}


def energy(watt_hours: float | None) -> str:
    """`812 Wh`, `1.2 kWh`."""
    if watt_hours is None:
        return wording.UNKNOWN
    return f"{watt_hours / 1000:.1f} kWh" if watt_hours >= 1000 else f"{watt_hours:.3g} Wh"
