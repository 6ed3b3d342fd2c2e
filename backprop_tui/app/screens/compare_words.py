"""A comparison in words: final figures, settings that differ, data that differs, and which setting explains it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len

from backprop_tui.app import wording
from backprop_tui.app.app import state_role
from backprop_tui.app.comparison import Comparison
from backprop_tui.app.screens.runs_cells import energy
from backprop_tui.app.widgets.chart_metrics import slots_for
from backprop_tui.app.widgets.chart_parts import SERIES_SIGNS
from backprop_tui.app.widgets.lines import fit, wrap
from backprop_tui.app.widgets.painted import Line, Piece, width_of
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.differences import ABSENT, Differing
from backprop_tui.store.explain import Factor
from backprop_tui.store.outcomes import OUTCOMES, Outcome

_FIGURE, _VALUE, _SETTING = 11, 10, 20
_ROLES = {"stands out": "good", "a hint": "warn", "could be chance": "muted"}


def sheet(found: Comparison, width: int) -> list[Line]:
    """All sections, each under its heading."""
    sections = (
        ("final figures", _figures(found, width)),
        ("settings that differ", _settings(found, width)),
        (f"data, against {found.runs[found.reference].letter}", _data(found, width)),
        (f"which setting explains the {found.outcome.title}", _explained(found, width)),
    )
    lines: list[Line] = []
    for title, body in sections:
        lines += [((" " if lines else "", "text"),)] if lines else []
        lines.append(((title, "strong"), (f" {'─' * max(0, width - cell_len(title) - 2)}", "grid")))
        lines += body
    return lines


def plain(found: Comparison) -> str:
    """The sheet as text to copy."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in sheet(found, 160)) + "\n"


def figure(about: Outcome, value: float | None) -> str:
    """A figure as people read it; – for what is unknown."""
    if about.unit == "loss":
        return wording.loss(value)
    if about.unit == "share":
        return wording.percent(value)
    if about.unit == "seconds":
        return wording.duration(value)
    return energy(value) if about.unit == "wh" else wording.short_count(value)


def _figures(found: Comparison, width: int) -> Iterator[Line]:
    known = [about for about in OUTCOMES if any(about.of(entry) is not None for entry in found.entries)]
    name = max(12, min(34, max(cell_len(safe_text(entry.title)) for entry in found.entries)))
    room = width - 4 - name - 14
    shown = known[: max(1, room // (_FIGURE + 1))]
    yield (
        ("    ", "text"), (fit("run", name), "muted"), (fit(" state", 14), "muted"),
        *((f" {fit(_head(about), _FIGURE, 'right')}", "muted") for about in shown),
    )  # fmt: skip
    bests = [_best(about, [about.of(entry) for entry in found.entries]) for about in shown]
    slots = slots_for([one.run.id for one in found.runs])
    for one in found.runs:
        entry = one.entry
        slot = slots[entry.id]
        pieces: list[Piece] = [
            (f"{SERIES_SIGNS[slot] if one.series is not None else ' '} ", f"series-{slot + 1}"),
            (f"{one.letter:<2}", "strong"),
            (fit(safe_text(entry.title), name), "text"),
            (fit(f" {entry.state.glyph} {entry.state.value}", 14), state_role(entry.state)),
        ]  # fmt: skip
        for about, best in zip(shown, bests, strict=True):
            value = about.of(entry)
            role = "good" if best is not None and value == best else "text" if value is not None else "muted"
            pieces.append((f" {fit(figure(about, value), _FIGURE, 'right')}", role))
        yield tuple(pieces)
    unknown = [about for about in OUTCOMES if about not in known]
    if unknown:
        words = "; ".join(f"{about.title}: {about.why}" for about in unknown)
        yield from ((("    ", "text"), (line, "muted")) for line in wrap(f"– {words}", width - 4))
    if len(known) > len(shown):
        names = ", ".join(about.title for about in known[len(shown) :])
        yield (("    ", "text"), (f"not shown for want of room: {names}", "muted"))


def _settings(found: Comparison, width: int) -> Iterator[Line]:
    if not found.differ:
        yield (("    all settings are the same", "muted"),)
        return
    count = len(found.runs)
    table = width >= 4 + _SETTING + count * (_VALUE + 1)
    if table:
        heads = [(f" {fit(one.letter, _VALUE, 'right')}", "strong") for one in found.runs]
        yield (("    ", "text"), (fit("", _SETTING), "text"), *heads)
    section = ""
    for one in found.differ:
        if one.section != section:
            section = one.section
            yield ((f"  {section}", "muted"),)
        yield from _in_table(one) if table else _in_groups(one, [run.letter for run in found.runs], width)


def _in_table(one: Differing) -> Iterator[Line]:
    values = [value_words(value) for value in one.values]
    common = max(set(values), key=values.count)
    odd = values.count(common) > 1
    pieces: list[Piece] = [("    ", "text"), (fit(one.title, _SETTING), "text")]
    for value in values:
        pieces.append((f" {fit(value, _VALUE, 'right')}", "accent" if odd and value != common else "text"))
    yield tuple(pieces)


def _in_groups(one: Differing, letters: Sequence[str], width: int) -> Iterator[Line]:
    """Each value with the runs that have it, when there is no room for a column per run."""
    groups: dict[str, list[str]] = {}
    for name, value in zip(letters, one.values, strict=True):
        groups.setdefault(value_words(value), []).append(name)
    words = "   ".join(f"{value} ({' '.join(names)})" for value, names in groups.items())
    for at, line in enumerate(wrap(words, max(20, width - 4 - _SETTING))):
        yield (("    ", "text"), (fit("" if at else one.title, _SETTING), "text"), (line, "text"))


def _data(found: Comparison, width: int) -> Iterator[Line]:
    """Runs whose data differs in the same way share their lines."""
    same: dict[tuple[str, ...], list[str]] = {}
    for at, (one, lines) in enumerate(zip(found.runs, found.data, strict=True)):
        if at != found.reference:
            said = ["not known: one of the two didn't note its data"] if lines is None else lines or ["the same data"]
            same.setdefault(tuple(said), []).append(one.letter)
    for words, letters in same.items():
        names = " ".join(letters)
        yield from ((("    ", "text"), (part, "strong")) for part in wrap(names, max(20, width - 4)))
        for line in words:
            yield from ((("      ", "text"), (part, "text")) for part in wrap(line, max(20, width - 6)))


def _explained(found: Comparison, width: int) -> Iterator[Line]:
    about = found.explained
    for line in wrap(about.sentence, max(20, width - 4)):
        yield (("    ", "text"), (line, "text"))
    titles = {one.key: one.title for one in found.differ}
    names = [" + ".join(titles.get(key, key) for key in factor.keys) for factor in about.factors]
    longest = min(40, max(map(cell_len, names), default=0))
    for factor, name in zip(about.factors, names, strict=True):
        yield from _factor(factor, fit(name, longest), found.outcome, width)
    if about.missing:
        runs = "run has" if about.missing == 1 else "runs have"
        yield ((f"    {about.missing} {runs} no {found.outcome.title}: {found.outcome.why}", "muted"),)
    if about.own:
        own = ", ".join(titles.get(key, key) for key in about.own)
        yield ((f"    of another value in each run, so nothing can be said: {safe_text(own)}", "muted"),)


def _factor(factor: Factor, name: str, about: Outcome, width: int) -> Iterator[Line]:
    full = round(factor.strength * 10)
    if factor.direction:
        words = f"larger goes with {'higher' if factor.direction > 0 else 'lower'} {about.title}"
    else:
        words = f"best at {value_words(factor.best)}"
    words += f"; chance does as well in {_share(factor.chance)}"
    head: Line = (
        ("    ", "text"), ("█" * full, _ROLES[factor.verdict]), ("░" * (10 - full), "grid"),
        (f" {factor.strength:.2f}  ", "text"), (name, "text"), (f"  {factor.verdict:<16}", _ROLES[factor.verdict]),
    )  # fmt: skip
    if width_of(head) + cell_len(words) <= width:
        yield (*head, (words, "muted"))
        return
    yield head
    yield from ((("          ", "text"), (part, "muted")) for part in wrap(words, max(20, width - 10)))


def value_words(value: Any) -> str:
    """A setting's value in a few characters."""
    if value is ABSENT:
        return wording.UNKNOWN
    if value is None or value == "":
        return "(empty)"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        mantissa, mark, exponent = f"{value:.6g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if mark else mantissa
    return safe_text(value, limit=40)


def _head(about: Outcome) -> str:
    return {"best eval loss": "best eval", "exact match": "match"}.get(about.title, about.title)


def _best(about: Outcome, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if about.good is None or len(known) < 2 or len(set(known)) == 1:
        return None
    return min(known) if about.good == "low" else max(known)


def _share(chance: float) -> str:
    return "under 1 %" if chance < 0.01 else f"{chance:.0%}".replace("%", " %")
