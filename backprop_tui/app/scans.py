"""Datasets looked through, remembered for as long as their files stay the same. Called from threads only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Literal

from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.data.looking.findings import Inspection
    from backprop_tui.data.looking.part import How
    from backprop_tui.data.selection import Scan
    from backprop_tui.protocol.spec import DataPart

DEMO = "demo"
#: Inspections kept: each holds four bytes a row.
_KEPT = 200
Cancelled = Callable[[], bool]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read. `model` gives the tokenizer; empty reads without one. `batch_size` is for the forecast of packing."""

    model: str = ""
    max_length: int | None = None
    train_on: Literal["answers", "everything"] = "answers"
    format: str = "auto"
    columns: str = ""
    damaged: Literal["refuse", "drop"] = "refuse"
    batch_size: int = 4

    @property
    def how(self) -> How:
        """The same in the words of `data`."""
        from backprop_tui.data.looking.part import How

        return How(self.format, self.columns, self.max_length, self.train_on)


@dataclass(frozen=True, slots=True)
class ScanKey:
    """What an inspection depends on: the words, the identity of every file, and how rows were read."""

    words: str
    state: tuple[tuple[int, int, int], ...]
    reading: Reading


@dataclass(frozen=True, slots=True)
class Counted:
    """What the data settings make of a dataset: rows after each step, and why the others are left out."""

    steps: dict[str, int]
    held: int
    dropped: dict[str, int] = field(default_factory=dict)


class Scans:
    """Inspections by words and reading. Safe to share between threads."""

    def __init__(self) -> None:
        self._found: dict[ScanKey, Inspection] = {}
        self._counts: dict[tuple[object, ...], Counted] = {}
        self._fetched: dict[str, DataSet] = {}
        self._lock = Lock()

    def resolve(
        self, words: str, *, again: bool = False, on_file: Callable[[str, int, int], None] | None = None
    ) -> DataSet:
        """The files that words stand for. What was fetched from the hub stays as it is until asked for `again`.

        Raises:
            BackpropError: as `places.resolve`.
        """
        from backprop_tui.data.finding.places import resolve

        if not again and words in self._fetched:
            return self._fetched[words]
        found = resolve(words, on_file=on_file)
        if any(source.kind == "hub" for source in found.sources):
            with self._lock:
                self._fetched[words] = found
        return found

    def to_fetch(self, words: str) -> bool:
        """Whether a part of the words is a dataset of the hub that has not been asked for here; nothing is read."""
        from backprop_tui.data.finding import hub

        if words in self._fetched or words == DEMO:
            return False
        for part in [words] if os.path.lexists(words) else words.split(" + "):
            name = re.sub(r"^[\d.]+x\s+", "", part)
            try:
                if not os.path.lexists(name) and hub.parse(name.partition("#")[0]) is not None:
                    return name not in self._fetched
            except BackpropError:
                continue
        return False

    def inspect(
        self, words: str, reading: Reading, cancelled: Cancelled, progress: Progress | None = None
    ) -> Inspection:
        """Look through a dataset, or remember having done so.

        Raises:
            BackpropError: there is no such data, or it can't be used at all.
        """
        from backprop_tui.data.looking.inspection import inspect_data
        from backprop_tui.data.versions.fingerprint import set_state

        data = self.resolve(words)
        key = ScanKey(words, set_state(data), replace(reading, batch_size=0))
        known = self._found.get(key)
        if known is not None:
            return _with_forecast(known, reading)
        found = inspect_data(
            data,
            tokenizer=self.tokenizer(reading.model, "bulk"),
            how=reading.how,
            refuses_damage=reading.damaged == "refuse",
            batch_size=reading.batch_size,
            on_progress=progress,
            cancelled=cancelled,
        )
        if not cancelled():
            with self._lock:
                self._found[key] = found
                while len(self._found) > _KEPT:
                    del self._found[next(iter(self._found))]
        return found

    def usable_rows(self, part: DataPart, cancelled: Cancelled) -> int:
        """Rows that the data settings leave, repeats of a mixture included, before sampling and splitting.

        Raises:
            BackpropError: the data can't be used.
        """
        if part.filter.strip() or part.duplicates != "keep":
            found = self.scan(part, "", cancelled)
            taken = [0] * len(found.data.sources)
            for source in found.sources:
                taken[source] += 1
            return round(sum(rows * source.weight for rows, source in zip(taken, found.data.sources, strict=True)))
        look = self._known_rows(part) or self.inspect(
            part.path, Reading(format=part.format, columns=part.columns, damaged=part.damaged), cancelled
        )
        data = self.resolve(part.path)
        if len(data.sources) == 1 and data.sources[0].weight == 1:
            return look.kept
        weights = (source.weight for source in data.sources for _ in source.files)
        return round(sum(file.kept * weight for file, weight in zip(look.files, weights, strict=True)))

    def count(self, part: DataPart, purpose: str, seed: int, cancelled: Cancelled) -> Counted:
        """What the data settings make of a dataset. Reads every row.

        Raises:
            BackpropError: the data or a setting can't be used.
        """
        from backprop_tui.data.selection import select
        from backprop_tui.data.versions.fingerprint import set_state

        key = (part, purpose, seed, set_state(self.resolve(part.path)))
        known = self._counts.get(key)
        if known is not None:
            return known
        found = self.scan(part, purpose, cancelled)
        chosen = select(found, part, seed, split=not part.eval_path)
        counted = Counted(dict(chosen.steps), len(chosen.held), dict(found.dropped))
        with self._lock:
            self._counts[key] = counted
            while len(self._counts) > _KEPT:
                del self._counts[next(iter(self._counts))]
        return counted

    def tokenizer(self, model: str, use: Literal["preview", "bulk"]) -> RemoteTokenizer | None:
        """The tokenizer of a model that is on this machine; None when there is none (counts are then left out)."""
        from backprop_tui.data.children.remote import shared
        from backprop_tui.data.models import resolve_model

        if not model:
            return None
        try:
            place = resolve_model(model)
            return None if place is None else shared(place, use)
        except BackpropError:
            return None

    def scan(self, part: DataPart, purpose: str, cancelled: Cancelled) -> Scan:
        """Read every row and decide on it alone, for rows of a purpose (`sft` when it is not known).

        Raises:
            BackpropError: as `selection.scan`.
        """
        from backprop_tui.data.formats import conversation
        from backprop_tui.data.selection import scan

        def go_on(rows: int, total: int | None) -> None:
            if cancelled():
                # Nobody waits for the answer: `in_thread` reports nothing of a job that was cancelled.
                raise InterruptedError

        wanted: conversation.Purpose = next(
            (kind for kind in ("preference", "unpaired", "prompt") if kind == purpose), "sft"
        )
        return scan(self.resolve(part.path), part, purpose=wanted, on_progress=go_on)

    def _known_rows(self, part: DataPart) -> Inspection | None:
        """An inspection that read the rows as these settings do, whatever the model, if the files are as they were."""
        from backprop_tui.data.versions.fingerprint import set_state

        state = set_state(self.resolve(part.path))
        wanted = (part.path, state, part.format, part.columns, part.damaged)
        for key, found in list(self._found.items()):
            read = key.reading
            if (key.words, key.state, read.format, read.columns, read.damaged) == wanted:
                return found
        return None


def _with_forecast(found: Inspection, reading: Reading) -> Inspection:
    """The inspection with the forecast for this micro-batch."""
    from backprop_tui.data.looking.packing import forecast

    if not found.tokens or not found.max_length:
        return found
    return replace(found, packing=forecast(found.lengths, found.max_length, reading.batch_size))
