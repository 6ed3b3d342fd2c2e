"""Datasets looked through, remembered for as long as their files stay the same. Called from threads only."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from backprop_tui.config import paths

if TYPE_CHECKING:
    from backprop_tui.data.chat import ChatTokenizer, TrainOn
    from backprop_tui.data.inspection import Inspection

DEMO = "demo"
Cancelled = Callable[[], bool]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read. `model` gives the tokenizer; empty reads without one."""

    model: str = ""
    max_length: int | None = None
    train_on: TrainOn = "answers"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class ScanKey:
    """What an inspection depends on: the file's identity and how it was read."""

    path: str
    size: int
    changed_ns: int
    reading: Reading


def data_file(path: str) -> Path:
    """The file meant by a draft's data."""
    return paths.demo_data_file() if path == DEMO else Path(path)


class Scans:
    """Inspections by file and model. Safe to share between threads."""

    def __init__(self) -> None:
        self._found: dict[ScanKey, Inspection] = {}
        self._tokenizers: dict[str, ChatTokenizer | None] = {}
        self._lock = Lock()

    def known(self, path: str, reading: Reading) -> Inspection | None:
        """The inspection if the file is as it was, else None."""
        try:
            return self._found.get(_key(path, reading))
        except OSError:
            return None

    def inspect(
        self, path: str, reading: Reading, cancelled: Cancelled, progress: Progress | None = None
    ) -> Inspection:
        """Look through a dataset, or remember having done so.

        Raises:
            DataError: the file can't be used at all.
        """
        from backprop_tui.data.inspection import inspect_file

        known = self.known(path, reading)
        if known is not None:
            return known
        found = inspect_file(
            data_file(path),
            tokenizer=self.tokenizer(reading.model),
            max_length=reading.max_length,
            train_on=reading.train_on,
            format=reading.format,
            on_progress=progress,
            cancelled=cancelled,
        )
        if not cancelled():
            with self._lock:
                self._found[_key(path, reading)] = found
        return found

    def usable_rows(self, path: str, cancelled: Cancelled) -> int | None:
        """Rows that can be trained on, None when the file can't be read."""
        for key, found in list(self._found.items()):
            if key.path == path and self.known(path, key.reading) is found:
                return found.kept
        return self.inspect(path, Reading(), cancelled).kept

    def tokenizer(self, model: str) -> ChatTokenizer | None:
        """The tokenizer of a model that is on this machine; None when there is none (counts are then left out)."""
        from backprop_tui.data.chat import ChatTokenizer
        from backprop_tui.data.models import resolve_model
        from backprop_tui.protocol.errors import BackpropError

        if not model:
            return None
        if model not in self._tokenizers:
            try:
                place = resolve_model(model)
                loaded = None if place is None else ChatTokenizer.load(place)
            except BackpropError:
                loaded = None
            with self._lock:
                self._tokenizers[model] = loaded
        return self._tokenizers[model]


def _key(path: str, reading: Reading) -> ScanKey:
    info = os.stat(data_file(path))
    return ScanKey(path, info.st_size, info.st_mtime_ns, reading)
