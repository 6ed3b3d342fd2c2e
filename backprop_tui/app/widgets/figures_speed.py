"""Figures of speed and expense: rates, utilisation, step times, what is left, energy, cost. Unknown ones say why."""

from __future__ import annotations

from dataclasses import dataclass

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.painted import Line, Piece, ellipsis, width_of
from backprop_tui.protocol import figures
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.figures import Figure, Prices
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView

#: Change of speed that is worth a word.
_NOTABLE = 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: a lower `rank` is shown where there is not room for all, and the first of `shorter` notes that fits."""

    rank: int
    title: str
    value: str
    role: str
    note: Piece
    shorter: tuple[str, ...] = ()

    def line(self, label: int, width: int) -> Line:
        """Title, value, note, in columns of at most `width` cells together."""
        words, role = self.note
        value = f"{self.value:<10} " if self.value else ""
        if self.value == wording.UNKNOWN and width_of([(words, "")]) > width - label - len(value):
            # Why it is unknown tells more than the dash.
            value = f"{self.value}  "
        room = max(0, width - label - width_of([(value, "")]))
        fitting = next((said for said in (words, *self.shorter) if width_of([(said, "")]) <= room), None)
        note = (ellipsis((words, *self.shorter)[-1], room) if fitting is None else fitting), role
        title = f" {self.title if len(self.title) < label - 1 else self.title[: label - 3] + '…':<{label - 1}}"
        return ((title, "muted"), (value, self.role), note) if value else ((title, "muted"), note)


def speed_rows(model: RunModel, glyphs: Glyphs, prices: Prices) -> list[Row]:
    """The rows, in the order they are read."""
    view, state = model.view, model.state
    rate, learnt = figures.tokens_per_s(view), figures.trained_per_s(view)
    rows = [
        _row(2, "tokens/s", rate, wording.short_count, _trend(model, glyphs)),
        _row(10, "learnt/s", learnt, wording.short_count, ("in the loss", "muted")),
        _row(11, "MFU", figures.mfu(view), lambda share: f"{share:.1%}", ("of the GPU's peak", "muted"), "of the peak"),
    ]
    middle, slow = figures.step_seconds(view, 0.5), figures.step_seconds(view, 0.95)
    tail = f"p95 {seconds(slow.value)}" if slow.value is not None else ""
    rows.append(_row(4, "step", middle, seconds, (tail, "muted")))
    if state.live:
        left = figures.time_left(view)
        end = ""
        if left.value is not None and view.updated is not None:
            going = state is RunState.RUNNING
            end = f"done {moment(view.updated + left.value, view.updated)}" if going else "without the pause"
        rows.append(_row(12, "left", left, wording.duration, (end, "muted")))
    total = _all_tokens(model)
    share = f"of {wording.short_count(total)}" if total is not None else ""
    rows.append(Row(13, "tokens", wording.short_count(view.tokens), "text", (share, "muted")))
    seen = figures.samples_seen(view)
    # A run of a multi-run counts its own passes; the plan's are those of all runs.
    epochs = "" if view.multi else wording.epochs(view.plan.get("epochs"))
    of = f" of {epochs}" if epochs else ""
    note = "" if view.epoch is None else f"epoch {view.epoch:.2f}{of}"
    rows.append(_row(14, "rows seen", seen, lambda value: f"{value:,.0f}", (note, "muted"), note.partition(" of")[0]))
    if view.probe:
        rows.append(_memory(view))
    if view.telemetry:
        energy = figures.energy_wh(view)
        covered = figures.energy_share(view)
        words = (
            "" if not energy.about else f"{covered:.0%} of the time known" if covered < 0.98 else "all GPUs of the host"
        )
        rows.append(_row(15, "energy", energy, watt_hours, (words, "muted")))
    if prices.per_kwh is not None or prices.per_gpu_hour is not None:
        rows.append(
            _row(6, "cost", figures.cost(view, prices), lambda value: money(value, prices), ("so far", "muted"))
        )
    if view.paused_s >= 1:
        rows.append(Row(17, "paused", wording.duration(view.paused_s), "text", ("in all", "muted")))
    return rows


def seconds(value: float | None) -> str:
    """A short time with three digits: `4.2 ms`, `1.24 s`; from a minute on as a duration."""
    if value is None:
        return wording.UNKNOWN
    if value < 0.9995:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 59.5 else wording.duration(value)


def watt_hours(value: float) -> str:
    """`0.42 Wh`, `12 Wh`, `1.3 kWh`."""
    if value >= 1000:
        return f"{value / 1000:.3g} kWh" if value < 1e6 else f"{value / 1e6:.3g} MWh"
    return f"{value:.3g} Wh" if value >= 0.01 else "0.00 Wh"


def money(value: float, prices: Prices) -> str:
    """A cost, with two digits after the point as long as they tell something."""
    amount = f"{value:.2f}" if value < 1000 else f"{value:,.0f}"
    return f"{amount} {prices.currency}".rstrip()


def moment(wall: float, now: float) -> str:
    """A time of day; with the weekday, then the date, when it is not within a day."""
    import time

    clock = wording.clock(wall)
    if wall - now < 20 * 3600 or clock == wording.UNKNOWN:
        return f"~{clock}"
    day = time.strftime("%a" if wall - now < 6 * 86400 else "%d %b", time.localtime(wall))
    return f"~{day} {clock}"


def _row(rank: int, title: str, figure: Figure, words: object, note: Piece, *shorter: str) -> Row:
    assert callable(words)
    if figure.value is None:
        return Row(rank, title, wording.UNKNOWN, "muted", (safe_text(figure.why, limit=80), "muted"))
    about = "±" if figure.about else ""
    return Row(rank, title, f"{about}{words(figure.value)}", "text", note, shorter)


def _trend(model: RunModel, glyphs: Glyphs) -> Piece:
    """How the newest steps compare with the run's median."""
    trend = figures.trend(model.view)
    if trend.value is None:
        return ("", "muted")
    change = trend.value - 1
    if abs(change) < _NOTABLE:
        return ("steady", "muted")
    return (
        f"{glyphs.up if change > 0 else glyphs.down} {abs(change):.0%} to the run's",
        "good" if change > 0 else "warn",
    )


def _memory(view: RunView) -> Row:
    """What the allocator reserved at the highest beside what the plan expected; the expectation alone where nobody measures."""
    expected, measured = number(view.probe.get("expected")), number(view.probe.get("measured"))
    whole = number((view.plan.get("memory") or {}).get("peak"))
    if measured is None:
        return Row(
            16, "memory", wording.size(whole or expected), "text", ("of tensors, expected", "muted"), ("expected",)
        )
    planned = wording.size(expected)
    return Row(16, "memory", wording.size(measured), "text", (f"expected {planned}", "muted"), (f"plan {planned}",))


def _all_tokens(model: RunModel) -> float | None:
    tokens, epochs = model.view.plan.get("train_tokens"), model.view.plan.get("epochs")
    if isinstance(tokens, (int, float)) and isinstance(epochs, (int, float)):
        return tokens * epochs
    return None
