"""Lines of a run's three logs as bytes: which are shown, how loud they are, and what they say.

The journal's lines are sorted by their first bytes alone, so that a million steps are passed over in a second; only what is
looked at is decoded. What `Sorter` counts and what `journal_rows` makes of the same bytes agree line by line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import decode_line
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.text import last_segment, safe_text

SOURCES = ("journal", "worker", "host")
LEVELS = ("debug", "info", "warn", "error")
DEBUG, INFO, WARN, ERROR = range(4)
#: Least seconds of the run's own clock between two lines about ordinary steps.
STEP_EVERY_S = 5.0
#: Longest line shown, in characters, and the part of a raw one that is looked at, in bytes.
LINE_LIMIT = 2000
_RAW_LIMIT = 64 * 1024

#: Puts an event into words: level and harmless text, or None when it is not told. `app.narrate.tell` is one.
Teller = Callable[[Event], tuple[str, str] | None]

_HEAD = re.compile(
    rb'\{"seq":(\d{1,18}),"wall":([-+.\deE]{1,40}),"mono":[-+.\deE]{1,40},"attempt":\d{1,9},'
    rb'"kind":"([a-z_]{1,40})","data":\{(?:"step":(\d{1,15})[,}]|"level":"(debug|info|warn|error)")?'
)
_SIZES = re.compile(rb'"logs":\{"worker":(\d{1,15}),"host":(\d{1,15})\}')
_UNTOLD = frozenset({ev.TELEMETRY.encode(), ev.SAMPLE.encode()})
_STEP, _LOG, _TELEMETRY, _REPAIR = ev.STEP.encode(), ev.LOG.encode(), ev.TELEMETRY.encode(), ev.REPAIR.encode()
_LEVEL_OF = {level.encode(): number for number, level in enumerate(LEVELS)}
#: Colours, line erasing and cursor-up of progress bars: they say nothing on a line of its own.
_DECORATION = re.compile("\x1b\\[[\\d;]{0,20}[mKA]")
#: One of these is in every raw line that is not plain information.
_LOUD = (b"Error", b"ERROR", b"error:", b"CRITICAL", b"FATAL", b"Exception", b"Traceback", b"WARN", b"arning", b"DEBUG")
_RAW_ERROR = re.compile(
    rb"\b(?:ERROR|CRITICAL|FATAL)\b|^Traceback \(most recent|^[\w.]*(?:Error|Exception)\b|\berror:|\bError:"
)
_RAW_WARN = re.compile(rb"\bWARN(?:ING)?\b|[wW]arning:")
_RAW_DEBUG = re.compile(rb"\bDEBUG\b")


@dataclass(frozen=True, slots=True)
class LogRow:
    """One line as it is shown.

    Attributes:
        wall: seconds since the Unix epoch, None when unknown. timed: whether that is the line's own time; otherwise it is that
            of the event before it.
        level: one of `LEVELS`. source: one of `SOURCES`. text: harmless.
        seq: of its event; for a raw line, of the event before it. event: None for raw and for damaged lines.
        step: the event's step, when it names one.
    """

    wall: float | None
    timed: bool
    level: str
    source: str
    text: str
    seq: int
    event: Event | None = None

    @property
    def step(self) -> int | None:
        """The optimiser step the event names."""
        step = self.event.data.get("step") if self.event is not None else None
        return step if isinstance(step, int) and not isinstance(step, bool) else None


@dataclass(slots=True)
class Place:
    """Where in the run a line stands: what the lines before it have established.

    `said` is when a step was told last, `wall` and `seq` are of the last event, `step` is the last step heard of (-1: none).
    """

    said: float = float("-inf")
    wall: float = float("nan")
    seq: int = 0
    step: int = -1

    def copy(self) -> Place:
        """One that can move on by itself."""
        return Place(self.said, self.wall, self.seq, self.step)


class Sorter:
    """Walks over whole journal lines; says of each whether and how loud it is shown.

    Attributes:
        place: after the last line looked at. sizes: lengths of worker.log and host.log as of the last line, if it says so.
        damaged: lines so far that are not ours.
    """

    def __init__(self, tell: Teller, place: Place | None = None) -> None:
        self.place = place or Place()
        self.sizes: tuple[int, int] | None = None
        self.damaged = 0
        self._tell = tell

    def level(self, line: bytes) -> int | None:
        """Index into `LEVELS`; None for a line that is not shown."""
        self.sizes = None
        head = _HEAD.match(line)
        if head is None:
            if not line:
                return None
            self.damaged += 1
            return WARN
        place = self.place
        seq, wall_text, kind, step, level = head.groups()
        try:
            wall = float(wall_text)
        except ValueError:
            wall = place.wall
        place.wall, place.seq = wall, int(seq)
        if step is not None:
            place.step = int(step)
        if kind == _STEP:
            odd = b'"loss":"' in line
            if not odd and 0 <= wall - place.said < STEP_EVERY_S:
                return None
            place.said = wall
            return WARN if odd else INFO
        if kind == _LOG and level is not None:
            return _LEVEL_OF[level]
        if kind == _TELEMETRY:
            sizes = _SIZES.search(line)
            self.sizes = (int(sizes.group(1)), int(sizes.group(2))) if sizes else None
        if kind in _UNTOLD:
            return None
        told = _told(self._tell, _event(line))
        return LEVELS.index(told[0]) if told is not None else None


def journal_rows(block: bytes, place: Place, tell: Teller) -> Iterator[LogRow]:
    """The shown lines of whole journal lines that begin at `place`."""
    sorter = Sorter(tell, place.copy())
    for line in block.split(b"\n"):
        level = sorter.level(line)
        if level is None:
            continue
        event = _event(line)
        told = _told(tell, event)
        seq = event.seq if event is not None else sorter.place.seq
        wall = event.wall if event is not None else _known(sorter.place.wall)
        words = told[1] if told is not None else ""
        if event is None:
            words = f"a damaged line of the record was passed over ({len(line):,} bytes)"
        yield LogRow(wall, event is not None, LEVELS[level], "journal", words, seq, event)


def raw_count(block: bytes) -> list[int] | None:
    """Like `raw_levels` with warnings and errors counted as information, much faster; None where there may be debug lines."""
    return None if b"DEBUG" in block else [0, _line_count(block), 0, 0]


def raw_levels(block: bytes) -> list[int]:
    """How many lines of each of `LEVELS` whole raw lines hold."""
    counts = [0, _line_count(block), 0, 0]
    if any(word in block for word in _LOUD):
        for line in block.split(b"\n"):
            level = raw_level(line)
            if level != INFO:
                counts[INFO] -= 1
                counts[level] += 1
    return counts


def _line_count(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


def raw_level(line: bytes) -> int:
    """How loud a raw line is, by the words loggers and tracebacks use."""
    if not any(word in line for word in _LOUD):
        return INFO
    line = line[:400]
    if _RAW_ERROR.search(line):
        return ERROR
    if _RAW_WARN.search(line):
        return WARN
    return DEBUG if _RAW_DEBUG.search(line) else INFO


def raw_text(line: bytes) -> str:
    """What a raw line leaves on a terminal: a progress bar's last state, no colours, everything else visible."""
    text = line[-_RAW_LIMIT:].decode("utf-8", "replace")
    return safe_text(last_segment(_DECORATION.sub("", text)), limit=LINE_LIMIT)


def raw_rows(block: bytes, place: Place, source: str) -> Iterator[LogRow]:
    """The lines of whole raw lines written after the event of `place`."""
    wall = _known(place.wall)
    for line in block.removesuffix(b"\n").split(b"\n"):
        yield LogRow(wall, False, LEVELS[raw_level(line)], source, raw_text(line), place.seq)


def _known(wall: float) -> float | None:
    return wall if wall == wall else None


def _event(line: bytes) -> Event | None:
    record = decode_line(line)
    return Event.from_record(record) if record is not None else None


def _told(tell: Teller, event: Event | None) -> tuple[str, str] | None:
    if event is None:
        return "warn", ""
    try:
        return tell(event)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return "debug", f"an event of kind {safe_text(event.kind, limit=40)} that this version can't read"
