"""Names inside a run directory, creating one, and finding runs by what a person types."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.protocol.errors import DataError, UnavailableError, UsageError

_ID = re.compile(r"^\d{8}-\d{6}-[0-9a-z]{4}$")
_CHECKPOINT = re.compile(r"^step-(\d{6,})$")
#: Keys of run.json that are no part of the spec.
_LAUNCHED, _PARENT, _REWARDS, _QUEUED = "dataset", "parent", "rewards", "queued"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class RunDir:
    """Paths of one run. The id is `<UTC date>-<time>-<4 random>`; people mostly type the last four."""

    path: Path

    @property
    def id(self) -> str:
        """Directory name and identity."""
        return self.path.name

    @property
    def short_id(self) -> str:
        """The random tail, enough to name a run by hand."""
        return self.path.name.rsplit("-", 1)[-1]

    @property
    def spec_file(self) -> Path:
        """run.json: the resolved RunSpec and what the data was, written once."""
        return self.path / "run.json"

    @property
    def identity_file(self) -> Path:
        """engine.json: who holds the lock."""
        return self.path / "engine.json"

    @property
    def lock_file(self) -> Path:
        """engine.lock: flock-ed for the host's life; "running" means held."""
        return self.path / "engine.lock"

    @property
    def worker_lock(self) -> Path:
        """worker.lock: held as long as a worker lives, also one that has lost its host and is still saving."""
        return self.path / "worker.lock"

    @property
    def journal_file(self) -> Path:
        """events.jsonl, appended by the host only."""
        return self.path / "events.jsonl"

    @property
    def worker_log(self) -> Path:
        """Raw stdout and stderr of the worker."""
        return self.path / "worker.log"

    @property
    def host_log(self) -> Path:
        """Raw stdout and stderr of the host."""
        return self.path / "host.log"

    @property
    def checkpoints(self) -> Path:
        """Directory of complete checkpoints `step-000400` and unfinished `.tmp-…`."""
        return self.path / "checkpoints"

    @property
    def origin(self) -> Path:
        """Directory of the one checkpoint a fork began with, laid out like `checkpoints`; absent in other runs."""
        return self.path / "origin"

    @property
    def pins_file(self) -> Path:
        """pins.json: steps whose checkpoints are never removed on our own account."""
        return self.path / "pins.json"

    @property
    def pins_lock(self) -> Path:
        """pins.lock: held while pins are changed or a checkpoint that may be pinned is removed."""
        return self.path / "pins.lock"

    @property
    def reward_file(self) -> Path:
        """rewards.py: the confirmed copy of a person's reward functions; absent in runs without."""
        return self.path / "rewards.py"

    @property
    def artifacts(self) -> Path:
        """Exports, reports, samples."""
        return self.path / "artifacts"

    @property
    def dataset_file(self) -> Path:
        """artifacts/dataset.json: the fingerprint of what is trained on, written by the worker."""
        return self.artifacts / "dataset.json"

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of an optimiser step lives."""
        return self.checkpoints / f"step-{step:06d}"

    def read_spec(self) -> dict[str, Any]:
        """The spec in run.json as plain data.

        Raises:
            DataError: missing, unreadable or not JSON.
        """
        words = self._read_run()
        words.pop(_LAUNCHED, None)
        words.pop(_PARENT, None)
        words.pop(_REWARDS, None)
        words.pop(_QUEUED, None)
        return words

    def read_rewards(self) -> dict[str, Any] | None:
        """The rewards a run learns from: weights by function (`functions`), and where some are a person's own, `file` and
        the `sha256` that was confirmed; None for any other run.

        Raises:
            DataError: missing, unreadable or not JSON.
        """
        rewards = self._read_run().get(_REWARDS)
        return rewards if isinstance(rewards, dict) else None

    def read_parent(self) -> dict[str, Any] | None:
        """What a fork came from (`store.lineage.Parent` reads it), noted in run.json; None for any other run.

        Raises:
            DataError: missing, unreadable or not JSON.
        """
        parent = self._read_run().get(_PARENT)
        return parent if isinstance(parent, dict) else None

    def read_queued(self) -> dict[str, Any] | None:
        """Where a run of the queue came from: its `entry`, the `gpus` it was given and, in a sweep, `sweep` and `trial`; None
        for any other run.

        Raises:
            DataError: missing, unreadable or not JSON.
        """
        queued = self._read_run().get(_QUEUED)
        return queued if isinstance(queued, dict) else None

    def read_launched(self) -> dict[str, Any] | None:
        """What the data was at the launch, noted in run.json beside the spec; None when it was not noted.

        Raises:
            DataError: missing, unreadable or not JSON.
        """
        launched = self._read_run().get(_LAUNCHED)
        return launched if isinstance(launched, dict) else None

    def read_dataset(self) -> dict[str, Any] | None:
        """The fingerprint of what is trained on; None before the rows are tokenised, or when it can't be read."""
        try:
            words = json.loads(self.dataset_file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return words if isinstance(words, dict) else None

    def write_dataset(self, fingerprint: dict[str, Any]) -> None:
        """Replace the fingerprint as a whole.

        Raises:
            OSError: the disk is full or broken; the earlier one is then untouched.
        """
        self.artifacts.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self.dataset_file, json.dumps(fingerprint, indent=1).encode())

    def _read_run(self) -> dict[str, Any]:
        try:
            words = json.loads(self.spec_file.read_bytes())
        except (OSError, ValueError, RecursionError):
            raise DataError(
                "RUN_SPEC_UNREADABLE", f"{self.spec_file} can't be read.", "The run can be watched but not resumed."
            ) from None
        if not isinstance(words, dict):
            raise DataError("RUN_SPEC_UNREADABLE", f"{self.spec_file} is not an object.", "Restore it from a backup.")
        return words


def create_run(
    spec_words: dict[str, Any],
    root: Path | None = None,
    *,
    launched: dict[str, Any] | None = None,
    parent: dict[str, Any] | None = None,
    rewards: dict[str, Any] | None = None,
    queued: dict[str, Any] | None = None,
) -> RunDir:
    """Make a fresh run directory (0700) holding run.json.

    Args:
        spec_words: the resolved spec.
        root: directory of all runs; None is the person's own.
        launched: what the data is, noted beside the spec.
        parent: what it is a fork of, noted there as well.
        rewards: what it is rewarded by, likewise.
        queued: which entry of the queue it was, likewise.

    Raises:
        UnavailableError: the place can't be written.
    """
    root = root or paths.runs_dir()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            run = RunDir(root / f"{stamp}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}")
            try:
                run.path.mkdir(mode=0o700)
                break
            except FileExistsError:
                continue
        run.checkpoints.mkdir(mode=0o700)
        run.artifacts.mkdir(mode=0o700)
        beside = {_LAUNCHED: launched, _PARENT: parent, _REWARDS: rewards, _QUEUED: queued}
        words = {**spec_words, **{key: value for key, value in beside.items() if value is not None}}
        write_atomic(run.spec_file, json.dumps(words, indent=1).encode())
    except OSError as error:
        raise UnavailableError(
            "RUNS_DIR_NOT_WRITABLE",
            f"{root} can't be written: {error.strerror}.",
            "Make it writable, or set BACKPROP_DATA_DIR to another place.",
        ) from None
    return run


def list_runs(root: Path | None = None) -> list[RunDir]:
    """Every run directory, newest first. Symlinks and foreign names are passed over."""
    root = root or paths.runs_dir()
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if _ID.match(entry.name) and entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [RunDir(root / name) for name in sorted(names, reverse=True)]


def find_run(wanted: str | None, root: Path | None = None) -> RunDir:
    """The run meant by an id, a unique prefix of an id or of its four-letter tail, or a unique name; None is the newest.

    Raises:
        UsageError: no run, or several fit.
    """
    runs = list_runs(root)
    if not runs:
        raise UsageError("RUN_NONE", "There is no run yet.", "Start one with `backprop train DATA` or `backprop demo`.")
    if wanted is None:
        return runs[0]
    fits = [run for run in runs if run.id.startswith(wanted) or run.short_id.startswith(wanted)]
    if not fits:
        fits = [run for run in runs if _title(run) == wanted] or [run for run in runs if _title(run).startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    exact = [run for run in fits if wanted in (run.id, run.short_id)]
    if len(exact) == 1:
        return exact[0]
    if not fits:
        raise UsageError("RUN_UNKNOWN", f"No run is called {wanted!r}.", "`backprop runs` lists them.")
    some = ", ".join(run.short_id for run in fits[:5])
    raise UsageError("RUN_AMBIGUOUS", f"{len(fits)} runs fit {wanted!r}: {some}.", "Type more letters of one of them.")


def is_own(run: RunDir) -> bool:
    """Whether a run lies among the person's own, so that commands may be sent to it; another one may only be looked at."""
    return os.path.realpath(run.path.parent) == os.path.realpath(paths.runs_dir())


def is_run_id(name: str) -> bool:
    """Whether a directory name has the shape of a run's id."""
    return _ID.match(name) is not None


def checkpoint_step(name: str) -> int | None:
    """The step in a checkpoint directory's name, None for any other name."""
    match = _CHECKPOINT.match(name)
    return int(match.group(1)) if match else None


def write_atomic(target: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a small file so that readers see the old or the new one whole, also after a power loss."""
    temporary = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_dir(target.parent)


def sync_dir(place: Path) -> None:
    """Make a rename or creation in `place` durable (a no-op where directories cannot be opened)."""
    if os.name != "posix":
        return
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _title(run: RunDir) -> str:
    # Here, because the notes are written with what this module offers.
    from backprop_tui.store.notes import read_notes

    try:
        return read_notes(run).name or str(run.read_spec().get("name") or "")
    except DataError:
        return ""
