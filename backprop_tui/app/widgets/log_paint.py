"""A line of the log as pieces: time, level, text with what is searched for in view, cut or wrapped."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.cells import cell_len

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets.painted import Line, Piece, ellipsis
from backprop_tui.store.log_lines import LogRow

#: How times are written.
TIMES = ("clock", "start", "date")
_TIME_WIDTH = {"clock": 8, "start": 9, "date": 14}
_LEVEL_ROLES = {"debug": "muted", "info": "muted", "warn": "warn", "error": "bad"}


@dataclass(frozen=True, slots=True)
class Manner:
    """How lines are written: `times` is one of `TIMES`, `started` the run's beginning in seconds since the epoch, `needle` what
    is searched for in lower case, empty for nothing."""

    times: str = "clock"
    started: float | None = None
    wrap: bool = False
    needle: str = ""


def paint_row(row: LogRow, width: int, manner: Manner, glyphs: Glyphs, *, here: bool = False) -> list[Line]:
    """The lines a row takes: one, or as many as it needs when wrapped. `here` marks it as chosen."""
    stamp = time_words(row, manner)
    named = row.level in ("warn", "error")
    level = row.level if named or row.source == "journal" else row.source
    role = _LEVEL_ROLES.get(row.level, "muted")
    text = f"{row.source}: {row.text}" if named and row.source != "journal" else row.text
    head: Line = (
        (glyphs.cursor if here else " ", "focus"), (f"{stamp} ", "muted"), (f"{level[:6]:<6} ", role),
    )  # fmt: skip
    indent = len(stamp) + 9
    room = max(8, width - indent)
    body_role = role if named else ("strong" if here else "text")
    if not manner.wrap:
        return [(*head, *highlighted(ellipsis(text, room, glyphs.ellipsis), manner.needle, body_role))]
    parts = split(highlighted(text, manner.needle, body_role), room)
    margin: Line = ((glyphs.cursor if here else " ", "focus"), (" " * (indent - 1), "text"))
    return [(*head, *parts[0]), *((*margin, *part) for part in parts[1:])]


def paint_unfinished(text: str, width: int, manner: Manner) -> Line:
    """A line that the worker has begun and not ended, in one line without a time."""
    margin = " " * (_TIME_WIDTH[manner.times] + 2)
    return (
        (margin, "muted"),
        (f"{'worker':<6} ", "muted"),
        *split([(text, "text")], max(8, width - len(margin) - 7))[0],
    )


def plain_line(row: LogRow) -> str:
    """A line as it is copied: date, time, level, text."""
    stamp = "-" * 19
    if row.wall is not None:
        try:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.wall))
        except (OverflowError, ValueError, OSError):
            pass
    source = "" if row.source == "journal" else f"{row.source}: "
    return f"{stamp if row.timed else '~' + stamp[:16]:<19} {row.level:<5} {source}{row.text}"


def time_words(row: LogRow, manner: Manner) -> str:
    """When it was, in a fixed width; `~` for a line that only lies near that time."""
    width = _TIME_WIDTH[manner.times]
    if row.wall is None:
        return f"{wording.UNKNOWN:<{width}}"
    if manner.times == "start":
        words = _since(row.wall - manner.started) if manner.started is not None else wording.UNKNOWN
        return f"{words if row.timed else f'~{words}':>{width}}"
    clock = wording.clock(row.wall, seconds=row.timed)
    words = clock if row.timed else f"~{clock}"
    if manner.times == "date":
        try:
            words = f"{time.strftime('%m-%d', time.localtime(row.wall))} {words}"
        except (OverflowError, ValueError, OSError):
            words = wording.UNKNOWN
    return f"{words:<{width}}"


def highlighted(text: str, needle: str, role: str) -> list[Piece]:
    """Text in pieces, every place that holds the needle standing out."""
    lowered = text.lower()
    if not needle or needle not in lowered or len(lowered) != len(text):
        return [(text, role)]
    pieces: list[Piece] = []
    at = 0
    while (found := lowered.find(needle, at)) >= 0:
        pieces += [(text[at:found], role), (text[found : found + len(needle)], "cursor")]
        at = found + len(needle)
    return [piece for piece in [*pieces, (text[at:], role)] if piece[0]]


def split(pieces: list[Piece], width: int) -> list[Line]:
    """Pieces broken into lines of at most `width` cells; no text is one empty line."""
    lines: list[Line] = []
    line: list[Piece] = []
    left = width
    for text, role in pieces:
        while text:
            part = text[:left] if text.isascii() else _fitting(text, left)
            if not part:
                lines.append(tuple(line))
                line, left = [], width
                continue
            line.append((part, role))
            left -= cell_len(part)
            text = text[len(part) :]
    return [*lines, tuple(line)] if line or not lines else lines


def _fitting(text: str, width: int) -> str:
    cells = 0
    for index, sign in enumerate(text):
        cells += cell_len(sign)
        if cells > width:
            return text[:index]
    return text


def _since(seconds: float) -> str:
    sign = "-" if seconds < 0 else "+"
    whole = int(min(abs(seconds), 3.6e9))
    return f"{sign}{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
