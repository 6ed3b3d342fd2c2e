"""What a list of runs shows of each: the folded journal, remembered by offset so that an old run costs one small read."""

from __future__ import annotations

import calendar
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backprop_tui import __version__
from backprop_tui.config import paths
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.view import RunView
from backprop_tui.store import locks, resuming
from backprop_tui.store.journal import JournalTail
from backprop_tui.store.layout import RunDir, list_runs
from backprop_tui.store.notes import Notes, read_notes

#: A view of another version may lack what this one folds, so it is folded anew.
_INDEX_FORMAT = f"4/{__version__}"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run at a glance. Texts are as stored: clean them with `safe_text` before showing.

    Attributes:
        title: the name people gave it, its own, or one made of model and method. method: lora, qlora, full, "" when unknown.
        created: seconds since the Unix epoch.
        view: the folded journal. state: the honest state, `crashed` when nobody holds the lock of an unfinished run.
        notes: what people noted of it. settings: leaves of the spec by key, as run.json has them.
    """

    run: RunDir
    title: str
    model: str
    data: str
    method: str
    created: float
    view: RunView
    state: RunState
    notes: Notes = field(default_factory=Notes)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def resume_step(self) -> int | None:
        """Step a resume would go on from, as the disk stands when asked and judged by names and sizes; None without one."""
        return resume_step(self.run, self.state)

    @property
    def rebooted(self) -> bool:
        """Whether it crashed because the machine went down: its engine ran on an earlier boot."""
        return self.state is RunState.CRASHED and locks.lost_to_reboot(self.run.identity_file)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for `--json`."""
        return {
            "id": self.run.id,
            "path": str(self.run.path),
            "title": self.title,
            "model": self.model,
            "data": self.data,
            "method": self.method,
            "created": self.created,
            "state": self.state.value,
            "resume_step": self.resume_step,
            "rebooted": self.rebooted,
            **{key: value for key, value in self.notes.to_dict().items() if key != "name"},
            "view": self.view.to_dict(),
        }


def resume_step(run: RunDir, state: RunState) -> int | None:
    """Step a resume of a run in this state would go on from; None without one, or while the run is live."""
    if state.live:
        return None
    return resuming.find_candidate(run, deep=False).step


def load_summary(run: RunDir) -> RunSummary:
    """Fold what the journal gained since the last time. A damaged run.json leaves its fields empty."""
    try:
        spec = run.read_spec()
    except DataError:
        spec = {}
    model, data = _part(spec, "model"), _part(spec, "data")
    # The lock first: a run that ends between the two looks is then seen as ended, never as crashed.
    held = locks.is_held(run.lock_file)
    view = _folded(run)
    base, method = str(model.get("base", "")), str(model.get("method", ""))
    notes = read_notes(run)
    made = f"{base.rstrip('/').rsplit('/', 1)[-1] or 'run'}-{method or run.short_id}"
    title = notes.name or str(spec.get("name") or "") or made
    state, path = view.state_when(held), str(data.get("path", ""))
    settings = {**leaves(spec), **_swept(run)}
    return RunSummary(run, title, base, path, method, _created(run), view, state, notes, settings)


def leaves(spec: dict[str, Any]) -> dict[str, Any]:
    """The settings of a spec by key: names of leaves are unique over all its parts."""
    found: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, dict):
            found.update({name: leaf for name, leaf in value.items() if not isinstance(leaf, (dict, list))})
        elif not isinstance(value, list):
            found[key] = value
    return found


def _swept(run: RunDir) -> dict[str, Any]:
    """Sweep and trial of a run that is one of a sweep."""
    try:
        queued = run.read_queued() or {}
    except DataError:
        return {}
    return {key: queued[key] for key in ("sweep", "trial") if isinstance(queued.get(key), (str, int))}


def list_summaries(root: Path | None = None) -> list[RunSummary]:
    """Every run, newest first."""
    return [load_summary(run) for run in list_runs(root)]


def forget_summary(run_id: str) -> None:
    """Drop what is remembered of a run."""
    _index_file(run_id).unlink(missing_ok=True)


def _folded(run: RunDir) -> RunView:
    view, offset, stamp = _remembered(run)
    tail = JournalTail(run.journal_file, after=view.seq, offset=offset)
    try:
        while batch := tail.poll():
            view.apply(batch)
    finally:
        tail.close()
    if tail.offset != offset and stamp is not None:
        _remember(run, view, tail.offset, stamp)
    return view


def _remembered(run: RunDir) -> tuple[RunView, int, list[int] | None]:
    """The view up to an offset of exactly this journal file, or a fresh one."""
    try:
        info = os.stat(run.journal_file)
    except OSError:
        return RunView(), 0, None
    stamp = [info.st_dev, info.st_ino]
    try:
        words = json.loads(_index_file(run.id).read_bytes())
        fits = words["format"] == _INDEX_FORMAT and words["file"] == stamp and words["offset"] <= info.st_size
        if fits:
            return RunView.from_dict(words["view"]), int(words["offset"]), stamp
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return RunView(), 0, stamp


def _remember(run: RunDir, view: RunView, offset: int, stamp: list[int]) -> None:
    file = _index_file(run.id)
    temporary = file.with_name(f".tmp-{file.name}-{os.getpid()}")
    words = {"format": _INDEX_FORMAT, "file": stamp, "offset": offset, "view": view.to_dict()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_bytes(json.dumps(words).encode())
        os.replace(temporary, file)
    except (OSError, ValueError):
        # It can be rebuilt at any time: a full or read-only cache costs speed, nothing else.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _index_file(run_id: str) -> Path:
    return paths.cache_dir() / "index" / f"{run_id}.json"


def _part(spec: dict[str, Any], name: str) -> dict[str, Any]:
    part = spec.get(name)
    return part if isinstance(part, dict) else {}


def _created(run: RunDir) -> float:
    try:
        return float(calendar.timegm(time.strptime(run.id[:15], "%Y%m%d-%H%M%S")))
    except ValueError:
        return 0.0
