"""Decodes the journal a block at a time. Every line's checksum is looked at, as when it is read alone.

A block in which every line is whole, in order and of the shape the host writes costs two microseconds a line; a single
line that differs sends its whole block through the general path, which reads as `JournalTail` does.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from operator import attrgetter
from typing import Any, Literal

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import decode_line, number
from backprop_tui.protocol.events import Event
from backprop_tui.store.stretch import (
    ABSENT,
    ABSENT_BITS,
    MOST_METRICS,
    STEP_LIMIT,
    Rows,
    Stretch,
    is_metric,
    rows_of,
    spread,
    step_of,
)

#: Steps at the end of a stretch that are folded one by one: as many as any figure looks back on.
NEWEST = 50
#: Events that read nothing of the steps before them.
_CALM = frozenset({ev.TELEMETRY})
_CRC_TAIL = len(',"crc":"00000000"}')
_MOST_SHAPES = 8
_KINDS = sorted({kind for name, kind in vars(ev).items() if name.isupper() and isinstance(kind, str)} - {ev.STEP})
_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class StretchDecoder:
    """Decodes blocks of whole journal lines, in order.

    Attributes:
        seq: the newest event decoded; events up to it are passed over.
        damaged: lines passed over because they are torn, damaged or not ours.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.damaged = 0
        self._last_step = -1
        self._shapes: list[_Shape] = []

    def decode(self, block: bytes, *, whole: bool = False) -> list[Stretch]:
        """The stretches of a block: one, and one more for each place where steps begin to repeat.

        Their events are not decoded yet; `tell` does it.

        Args:
            block: lines, each with its newline.
            whole: fold every event one by one.
        """
        lines = block.split(b"\n")
        lines.pop()
        found = self._alike(block, lines) or self._one_by_one(lines)
        self.seq = found.seqs[-1] if found.seqs else self.seq
        return [_stretch(found, first, last, whole) for first, last in self._parts(found)]

    def _parts(self, found: _Found) -> list[tuple[int, int]]:
        """Ranges of entries within which steps ascend."""
        import numpy as np

        if not found.seqs:
            return []
        steps = found.rows.steps
        cuts: list[int] = []
        if len(steps):
            back = np.flatnonzero(np.diff(steps, prepend=self._last_step) <= 0)
            cuts = [found.places[at] for at in back.tolist()]
            self._last_step = int(steps[-1])
        return list(pairwise([0, *(cut for cut in cuts if cut), len(found.seqs)]))

    # -- the two ways to read -----------------------------------------------------------------------------------------

    def _alike(self, block: bytes, lines: list[bytes]) -> _Found | None:
        """A block in which every line is whole, in order and of a known shape; None for any other."""
        import numpy as np

        bodies = [line[:-_CRC_TAIL] for line in lines]
        actual = np.fromiter(map(zlib.crc32, repeat(b"}"), map(zlib.crc32, bodies)), np.uint32, len(bodies))
        shape, records = self._records(block, lines)
        if shape is None or len(records) != len(lines):
            return None
        try:
            noted = np.frombuffer(bytes.fromhex("".join([record.crc for record in records])), ">u4")
            seqs = [record.seq for record in records]
            if len(noted) != len(actual) or not (noted == actual).all():
                return None
            if (np.diff(np.array(seqs, dtype=np.int64), prepend=self.seq) <= 0).any():
                return None
            kind = shape.step
            places = [at for at, record in enumerate(records) if type(record) is kind]
            rows = shape.rows([record for record in records if type(record) is kind])
        except (ValueError, TypeError, OverflowError):
            return None
        if len(rows.steps) and (rows.steps.min() < 0 or rows.steps.max() >= STEP_LIMIT):
            return None
        return _Found(
            lines, seqs, places, rows, lambda at: _event(lines[at]),
            lambda at: records[at].__struct_config__.tag in _CALM,
        )  # fmt: skip

    def _records(self, block: bytes, lines: list[bytes]) -> tuple[_Shape | None, list[Any]]:
        """The block as records of the first shape that fits it, a shape learnt from it included."""
        for shape in self._shapes:
            if (records := shape.read(block)) is not None:
                return shape, records
        if len(self._shapes) < _MOST_SHAPES:
            learnt = _Shape(_fields_of(lines, self._shapes[0].fields if self._shapes else ()))
            self._shapes.insert(0, learnt)
            if (records := learnt.read(block)) is not None:
                return learnt, records
        return None, []

    def _one_by_one(self, lines: list[bytes]) -> _Found:
        events: list[Event] = []
        kept: list[bytes] = []
        seq = self.seq
        for line in lines:
            record = decode_line(line)
            event = Event.from_record(record) if record is not None else None
            if event is None:
                self.damaged += 1
            elif event.seq > seq:
                seq = event.seq
                events.append(event)
                kept.append(line)
        steps = [at for at, event in enumerate(events) if event.kind == ev.STEP and step_of(event.data) is not None]
        return _Found(
            kept, [event.seq for event in events], steps, rows_of([events[at] for at in steps]),
            lambda at: events[at], lambda at: events[at].kind in _CALM,
        )  # fmt: skip


@dataclass(slots=True)
class _Found:
    """A block's entries: `places` are those of steps, row by row."""

    lines: list[bytes]
    seqs: list[int]
    places: list[int]
    rows: Rows
    event: Callable[[int], Event | None]
    calm: Callable[[int], bool]


def _stretch(found: _Found, first: int, last: int, whole: bool) -> Stretch:
    import numpy as np

    low, high = bisect_left(found.places, first), bisect_left(found.places, last)
    wanted = sorted(range(first, last) if whole else _telling(found, first, last, low, high))
    rows = found.rows.part(low, high)
    out = np.ones(last - first, dtype=bool)
    out[np.array(wanted, dtype=np.int64) - first] = False
    passed = spread(rows, out[np.array(found.places[low:high], dtype=np.int64) - first])

    def tell() -> list[Event]:
        return [event for at in wanted if (event := found.event(at)) is not None]

    lines = b"".join([found.lines[at] + b"\n" for at in wanted])
    return Stretch(lines=lines, tell=tell, passed=passed, rows=rows if high > low else None)


def _telling(found: _Found, first: int, last: int, low: int, high: int) -> set[int]:
    """Entries a fold of the present needs: all but steps, steps just before those that look back, first and newest steps."""
    wanted = set(range(first, last)).difference(found.places[low:high])
    before = [bisect_left(found.places, at) for at in wanted if not found.calm(at)]
    wanted.update(found.places[row - 1] for row in before if row > low)
    wanted.update(found.places[low : min(low + 1, high)])
    wanted.update(found.places[max(low, high - NEWEST) : high])
    return wanted


def _event(line: bytes) -> Event | None:
    """The event of a line whose checksum was right."""
    import msgspec

    try:
        record = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        record = decode_line(line)
    return Event.from_record(record) if isinstance(record, dict) else None


def _fields_of(lines: Sequence[bytes], known: Sequence[str]) -> list[str]:
    """Keys of numbers in the steps among some lines, after those known."""
    fields = dict.fromkeys(known)
    for line in lines:
        record = decode_line(line) if b'"kind":"step"' in line else None
        data = record.get("data") if record is not None else None
        for key, value in data.items() if isinstance(data, dict) else ():
            if len(fields) < MOST_METRICS and is_metric(key) and number(value) is not None:
                fields[key] = None
    return list(fields)


class _Shape:
    """Records whose steps have these fields and no others; a step may lack some.

    Attributes:
        step: type of the records of steps last read.
    """

    def __init__(self, fields: list[str]) -> None:
        import msgspec

        self.fields = fields
        names = {f"f{at}": key for at, key in enumerate(fields)}
        words = Literal["nan", "inf", "-inf"]
        strict: list[Any] = [("step", int), *((name, float) for name in names)]
        loose: list[Any] = [("step", int), *((name, float | words | None, None) for name in names)]
        others = [_record(kind, msgspec.Raw) for kind in _KINDS]
        self._decoders = []
        for wanted in (strict, loose):
            data = msgspec.defstruct("Data", wanted, rename=names, gc=False, forbid_unknown_fields=True)
            record = _record(ev.STEP, data)
            union: Any = record
            for other in others:
                union = union | other
            self._decoders.append((record, msgspec.json.Decoder(union)))
        self.step = self._decoders[0][0]

    def read(self, block: bytes) -> list[Any] | None:
        """All lines of a block, None when one has another shape."""
        import msgspec

        for record, decoder in self._decoders:
            try:
                records: list[Any] = decoder.decode_lines(block)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                continue
            self.step = record
            return records
        return None

    def rows(self, records: list[Any]) -> Rows:
        """Records of steps as rows.

        Raises:
            ValueError, TypeError, OverflowError: a number does not fit the arrays.
        """
        import numpy as np

        data = [record.data for record in records]
        steps = np.array([one.step for one in data], dtype=np.int64)
        walls = np.array([record.wall for record in records], dtype=np.float64)
        if not self.fields:
            return Rows(steps, walls, {})
        # The step comes along so that one metric alone is a tuple too.
        every = attrgetter("step", *(f"f{at}" for at in range(len(self.fields))))
        flat: Any = chain.from_iterable(map(every, data))
        if self.step is not self._decoders[0][0]:
            flat = (ABSENT if v is None else _WORDS[v] if isinstance(v, str) else v for v in flat)
        table = np.fromiter(flat, np.float64, len(data) * (len(self.fields) + 1)).reshape(len(data), -1)
        values = {}
        for at, name in enumerate(self.fields, 1):
            column = np.ascontiguousarray(table[:, at])
            if not (column.view(np.uint64) == ABSENT_BITS).all():
                values[name] = column
        return Rows(steps, walls, values)


def _record(kind: str, data: Any) -> Any:
    import msgspec

    fields = [("seq", int), ("wall", float), ("mono", float), ("attempt", int), ("crc", str), ("data", data)]
    return msgspec.defstruct(f"Record_{kind}", fields, tag_field="kind", tag=kind, gc=False)
