"""The answers a run gave at its evaluations, all of them, read from the journal when they are looked at.

Only where each answer's line begins is remembered; the journal is searched for them block by block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import decode_line, number
from backprop_tui.protocol.events import Event

_READ = 1 << 20
_SIGN = b',"kind":"sample",'
_HEAD = re.compile(
    rb'\{"seq":\d+,"wall":[^,]*,"mono":[^,]*,"attempt":(\d{1,9}),"kind":"sample",'
    rb'"data":\{"step":(\d{1,15}),"index":(\d{1,9}),"source":"(base|tuned)"'
)
#: Questions of one evaluation that are kept; a foreign journal may hold any number.
_MOST = 1000
#: Marks of one answer that are shown.
_MOST_MARKS = 12

Stop = Callable[[], bool]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with what it was answered: `base` by the untouched model, `tuned` at this evaluation (None: not asked).

    The marks are what the objective thinks of the answers, by name. All texts are foreign.
    """

    index: int
    prompt: str
    reference: str
    base: str | None = None
    base_match: bool = False
    tuned: str | None = None
    tuned_match: bool = False
    base_marks: tuple[tuple[str, float | None], ...] = ()
    tuned_marks: tuple[tuple[str, float | None], ...] = ()


@dataclass(slots=True)
class Evaluation:
    """Where the answers of one evaluation begin in the journal, in bytes, by question; `base` are the newest before it."""

    attempt: int
    step: int
    base: dict[int, int]
    tuned: dict[int, int] = field(default_factory=dict)


def _marks(words: dict[str, Any] | None) -> tuple[tuple[str, float | None], ...]:
    marks = words.get("marks") if words is not None else None
    if not isinstance(marks, dict):
        return ()
    return tuple((str(name), number(value)) for name, value in list(marks.items())[:_MOST_MARKS])


class SampleBook:
    """Evaluations with answers, oldest first. Use it from one thread at a time.

    Attributes:
        evaluations: those with answers of the tuned model; the base's alone before the first of them.
    """

    def __init__(self, journal: Path) -> None:
        self._fd = -1
        self._file = journal
        self._at = 0
        self._base: dict[int, int] = {}
        self.evaluations: list[Evaluation] = []

    def extend(self, stop: Stop = _never) -> None:
        """Take in what was written since the last time."""
        while not stop():
            block = self._pread(_READ, self._at)
            end = block.rfind(b"\n") + 1
            if not end and len(block) == _READ:
                # A line longer than any answer can be.
                end = _READ
            if not end:
                return
            found = block.find(_SIGN, 0, end)
            while found >= 0:
                start, stop_at = block.rfind(b"\n", 0, found) + 1, block.find(b"\n", found) + 1
                self._note(block[start:stop_at], self._at + start)
                found = block.find(_SIGN, stop_at, end) if stop_at else -1
            self._at += end

    def answers(self, which: int) -> list[Answer]:
        """The answers of an evaluation by its place in `evaluations`, in the order of the questions. Reads the file."""
        place = self.evaluations[which]
        found: list[Answer] = []
        for index in sorted({**place.base, **place.tuned})[:_MOST]:
            base, tuned = self._data(place.base.get(index)), self._data(place.tuned.get(index))
            words = tuned or base
            if words is None:
                continue
            found.append(
                Answer(
                    index,
                    str(words.get("prompt", "")),
                    str(words.get("reference", "")),
                    None if base is None else str(base.get("output", "")),
                    base is not None and bool(base.get("match")),
                    None if tuned is None else str(tuned.get("output", "")),
                    tuned is not None and bool(tuned.get("match")),
                    _marks(base),
                    _marks(tuned),
                )
            )
        return found

    def close(self) -> None:
        """Close the file; reading opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def _note(self, line: bytes, offset: int) -> None:
        head = _HEAD.match(line)
        if head is not None:
            attempt, step, index = (int(head.group(n)) for n in (1, 2, 3))
            source = head.group(4).decode()
        else:
            record = decode_line(line)
            event = Event.from_record(record) if record is not None else None
            if event is None or event.kind != ev.SAMPLE:
                return
            attempt, source = event.attempt, str(event.data.get("source"))
            step, index = int(number(event.data.get("step")) or 0), int(number(event.data.get("index")) or 0)
        if source == "base":
            # Evaluations before keep the answers they were shown with.
            self._base = {**self._base, index: offset}
            if not self.evaluations or not self.evaluations[-1].tuned:
                self.evaluations[-1:] = [Evaluation(attempt, step, self._base)]
            return
        last = self.evaluations[-1] if self.evaluations else None
        if last is not None and last.tuned and (last.attempt, last.step) == (attempt, step):
            last.tuned[index] = offset
        elif last is not None and not last.tuned:
            self.evaluations[-1] = Evaluation(attempt, step, self._base, {index: offset})
        else:
            self.evaluations.append(Evaluation(attempt, step, self._base, {index: offset}))

    def _data(self, offset: int | None) -> dict[str, Any] | None:
        if offset is None:
            return None
        block = self._pread(64 * 1024, offset)
        if b"\n" not in block:
            block = self._pread(2 * _READ, offset)
        record = decode_line(block[: block.find(b"\n") + 1])
        event = Event.from_record(record) if record is not None else None
        return event.data if event is not None else None

    def _pread(self, count: int, start: int) -> bytes:
        try:
            if self._fd < 0:
                self._fd = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            return os.pread(self._fd, count, start)
        except OSError:
            return b""
