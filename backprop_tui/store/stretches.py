"""A stretch of the journal decoded in bulk: the rows of its steps as arrays, and the few events a reader folds one by one.

A million steps can't pass through a fold one at a time while somebody waits for a chart. What a run is *now* depends on
all other events, on the steps beside those, and on the newest steps; the curves depend on every step, as columns. The bytes
are checked line by line either way: a block of which a single line differs from what the host writes takes the general path.
"""

from __future__ import annotations

import re
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import decode_line, number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.pace import SCALE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backprop_tui.store.columns import Columns

#: A value that was not reported, among float64 values: a NaN that no computation gives. A reported NaN stays itself.
ABSENT_BITS = 0x7FF8_0000_BAC4_0001
ABSENT: float = struct.unpack("<d", struct.pack("<Q", ABSENT_BITS))[0]
#: Steps at the end of a stretch that are folded one by one: as many as any figure looks back on.
NEWEST = 50
#: Metrics of one run; a foreign journal may name any number.
MOST_METRICS = 64
#: Largest step that fits the arrays with room to count on.
STEP_LIMIT = 1 << 62
_METRIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@:+-]{0,63}")
#: Events that read nothing of the steps before them.
_CALM = frozenset({ev.TELEMETRY})
#: Metrics whose distribution over all steps is known of a run.
PASSED = ("step_s", "tokens_per_s")
_CRC_TAIL = len(',"crc":"00000000"}')
_MOST_SHAPES = 8
_KINDS = sorted({kind for name, kind in vars(ev).items() if name.isupper() and isinstance(kind, str)} - {ev.STEP})
_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


@dataclass(slots=True)
class Rows:
    """Steps in strictly ascending order.

    Attributes:
        steps: shape (n,). walls: seconds since the Unix epoch, shape (n,).
        values: by metric, shape (n,); `ABSENT` where a step did not report it.
    """

    steps: NDArray[np.int64]
    walls: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]


@dataclass(slots=True)
class Stretch:
    """What a reader takes in at once.

    Attributes:
        events: what to fold one by one, in order. They hold some of the steps too, whose values are among the rows.
        lines: the journal's lines of these events.
        passed: of the steps that are not among the events, how their `PASSED` metrics are spread (`protocol.pace.Spread`).
        rows: the steps as arrays, unless they are in `base`.
        base: columns that hold every step so far, `base_rows` of them; those from `changed_from` on are other than before.
        firsts: row of each metric's first value in `base`.
    """

    events: list[Event] = field(default_factory=list)
    lines: bytes = b""
    passed: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: Rows | None = None
    base: Columns | None = None
    base_rows: int = 0
    changed_from: int = 0
    firsts: dict[str, int] = field(default_factory=dict)


def is_metric(name: object) -> bool:
    """Whether a key of a step may name a curve."""
    return isinstance(name, str) and name != "step" and _METRIC.fullmatch(name) is not None


def step_of(data: dict[str, Any], key: str = "step") -> int | None:
    """A step that fits the arrays; None for anything else a foreign journal may hold."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < STEP_LIMIT else None


def first_present(values: NDArray[np.float64]) -> int | None:
    """Index of the first value that was reported."""
    import numpy as np

    known = values.view(np.uint64) != ABSENT_BITS
    return int(known.argmax()) if known.any() else None


class StretchDecoder:
    """Decodes blocks of whole journal lines, in order.

    Args:
        seq: events up to this one are passed over.

    Attributes:
        seq: the newest event decoded. damaged: lines passed over because they are torn, damaged or not ours.
    """

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.damaged = 0
        self._last_step = -1
        self._shapes: list[_Shape] = []

    def decode(self, block: bytes, *, whole: bool = False) -> list[Stretch]:
        """The stretches of a block: one, and one more for each place where steps begin to repeat.

        Args:
            block: lines, each with its newline.
            whole: fold every event one by one, as the end of a journal deserves.
        """
        lines = block.split(b"\n")
        lines.pop()
        found = self._alike(block, lines) or self._one_by_one(lines)
        self.seq = found.seqs[-1] if found.seqs else self.seq
        return [self._stretch(found, first, last, whole) for first, last in self._parts(found)]

    # -- cutting ------------------------------------------------------------------------------------------------------

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
        edges = [0, *(cut for cut in cuts if cut), len(found.seqs)]
        return list(pairwise(edges))

    def _stretch(self, found: _Found, first: int, last: int, whole: bool) -> Stretch:
        low, high = bisect_left(found.places, first), bisect_left(found.places, last)
        wanted = set(range(first, last)) if whole else _telling(found, first, last, low, high)
        events = [event for at in sorted(wanted) if (event := found.event(at)) is not None]
        lines = b"".join(found.lines[at] + b"\n" for at in sorted(wanted))
        rows = found.rows
        some = Rows(rows.steps[low:high], rows.walls[low:high], {k: v[low:high] for k, v in rows.values.items()})
        left_out = [at - low for at in range(low, high) if found.places[at] not in wanted]
        return Stretch(events, lines, _spread(some, left_out), some if high > low else None)

    # -- the two ways to read -----------------------------------------------------------------------------------------

    def _alike(self, block: bytes, lines: list[bytes]) -> _Found | None:
        """A block in which every line is whole, in order and of a known shape; None for any other."""
        import msgspec
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
            if seqs[0] <= self.seq or any(after <= before for before, after in pairwise(seqs)):
                return None
            places = [at for at, record in enumerate(records) if type(record) is shape.step]
            rows = shape.rows([records[at] for at in places])
        except (ValueError, TypeError, OverflowError):
            return None
        if len(rows.steps) and (rows.steps.min() < 0 or rows.steps.max() >= STEP_LIMIT):
            return None

        def event(at: int) -> Event | None:
            record = records[at]
            try:
                data = msgspec.json.decode(lines[at])["data"] if type(record) is shape.step else _data(record)
            except (ValueError, RecursionError):
                plain = decode_line(lines[at])
                data = plain["data"] if plain is not None else None
            if not isinstance(data, dict):
                return None
            kind = str(record.__struct_config__.tag)
            return Event(record.seq, record.wall, record.mono, record.attempt, kind, data)

        return _Found(lines, seqs, places, rows, event, lambda at: type(records[at]).__struct_config__.tag in _CALM)

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
        rows = rows_of([events[at] for at in steps])
        return _Found(
            kept, [event.seq for event in events], steps, rows,
            lambda at: events[at], lambda at: events[at].kind in _CALM,
        )  # fmt: skip


def rows_of(events: Sequence[Event]) -> Rows:
    """Events of the kind `step` with a usable step, as rows."""
    import numpy as np

    names = dict.fromkeys(name for event in events for name in event.data if is_metric(name))
    known = [name for name in names if any(number(event.data.get(name)) is not None for event in events)]
    values = {}
    for name in known[:MOST_METRICS]:
        found = (number(event.data.get(name)) for event in events)
        values[name] = np.array([ABSENT if value is None else value for value in found], dtype=np.float64)
    steps = np.array([event.data["step"] for event in events], dtype=np.int64)
    return Rows(steps, np.array([event.wall for event in events], dtype=np.float64), values)


@dataclass(slots=True)
class _Found:
    """A block's entries: `places` are those of steps, row by row."""

    lines: list[bytes]
    seqs: list[int]
    places: list[int]
    rows: Rows
    event: Callable[[int], Event | None]
    calm: Callable[[int], bool]


def _telling(found: _Found, first: int, last: int, low: int, high: int) -> set[int]:
    """Entries a fold of the present needs: all but steps, steps just before those that look back, first and newest steps."""
    steps = set(found.places[low:high])
    wanted = set(range(first, last)) - steps
    before = [bisect_left(found.places, at) for at in wanted if not found.calm(at)]
    wanted.update(found.places[row - 1] for row in before if row > low)
    wanted.update(found.places[low : min(low + 1, high)])
    wanted.update(found.places[max(low, high - NEWEST) : high])
    return wanted


def _spread(rows: Rows, which: list[int]) -> dict[str, dict[str, int]]:
    import numpy as np

    found: dict[str, dict[str, int]] = {}
    for name in PASSED if which else ():
        values = rows.values[name][which] if name in rows.values else np.empty(0)
        values = values[(values > 0) & np.isfinite(values)]
        places, counts = np.unique(np.rint(np.log(values) / SCALE).astype(np.int64), return_counts=True)
        found[name] = {str(place): count for place, count in zip(places.tolist(), counts.tolist(), strict=True)}
    return found


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
    """Records whose steps have these fields and no others; a step may lack some."""

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
        flat: Any = chain.from_iterable(map(attrgetter("step", *(f"f{at}" for at in range(len(self.fields)))), data))
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


def _data(record: Any) -> Any:
    import msgspec

    return msgspec.json.decode(record.data)
