"""Another run's curves, read once to be laid over the one that is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_tui.app.jobs import Cancelled
from backprop_tui.protocol.text import safe_text
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir, list_runs

if TYPE_CHECKING:
    from backprop_tui.store.series import SeriesStore

#: Runs offered, newest first: more than that is what the Runs screen and its comparison are for.
MOST_OFFERED = 14


@dataclass(frozen=True, slots=True)
class Overlaid:
    """A run's curves as they were when they were read. `began` is its first start in seconds since the epoch."""

    run: RunDir
    label: str
    series: SeriesStore
    began: float | None


def offered(but: RunDir | None, cancelled: Cancelled) -> list[tuple[RunDir, str]]:
    """The newest runs beside `but`, with their names; the disk is read, so call it in a thread."""
    from backprop_tui.store.summary import load_summary

    found: list[tuple[RunDir, str]] = []
    for run in list_runs():
        if len(found) == MOST_OFFERED or cancelled():
            break
        if but is not None and run.path == but.path:
            continue
        summary = load_summary(run)
        loss = "" if summary.view.loss is None else f"  loss {summary.view.loss:.4g}"
        found.append((run, f"{safe_text(summary.title, limit=60) or run.short_id}  {summary.state.value}{loss}"))
    return found


def read_curves(run: RunDir, label: str, cancelled: Cancelled) -> Overlaid:
    """Read a run's curves to the end of its journal; call it in a thread."""
    from backprop_tui.store.columns import place_of
    from backprop_tui.store.history import History
    from backprop_tui.store.journal import JournalTail
    from backprop_tui.store.series import SeriesStore

    series, began = SeriesStore(), None
    held = locks.is_held(run.lock_file)
    tail = JournalTail(run.journal_file)
    history = History(tail, place_of(run.id))
    try:
        while not cancelled() and (stretch := history.next()) is not None:
            for event in stretch.events:
                began = event.wall if began is None else min(began, event.wall)
                try:
                    series.mark(event)
                except (ValueError, TypeError, AttributeError, OverflowError):
                    # A payload of another shape, from another version: the rest of the curve still shows.
                    continue
            series.extend(stretch)
    finally:
        history.close()
        tail.close()
    return Overlaid(run, f"{label} (so far)" if held else label, series, began)
