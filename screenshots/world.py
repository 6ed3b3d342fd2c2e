"""The world the pictures are taken in: recorded real runs, and the same clock, host and place each time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).resolve().parent
RECORDING = HERE / "recording"
#: Paths are seen on some screens, so the place is always the same one; one making at a time.
PLACE = Path("/tmp/backprop-screenshots")
#: The newest recorded run is shown as it stood after this step.
LIVE_STEP = 74
#: What is recorded, by preset and changes: a multi-run, one that learns from pairs, the demo with settings that another run
#: is compared with, and the demo itself, last.
RECORDED: dict[str, tuple[str, dict[str, Any]]] = {
    "multi": (
        "demo",
        {"multi": "windows", "runs": 4, "steps": 12, "replay": 0.2, "learning_rate": 3e-4, "name": "demo-slao"},
    ),
    "dpo": ("dpo", {"path": "demo", "steps": 60, "eval_every": 10, "learning_rate": 5e-5, "name": "demo-dpo"}),
    "bold": ("demo", {"learning_rate": 3e-3, "rank": 4, "alpha": 8, "name": "demo-bold"}),
    "demo": ("demo", {}),
}
#: Runs as they are listed, oldest first: the end of the id, which recording, and how many days before the live one.
_LISTED = (("w2hn", "multi", 4), ("q5rx", "dpo", 3), ("c4yd", "demo", 2), ("m8te", "bold", 1), ("8fcg", "demo", 0))
#: What waits in the queue: the end of the id, and what differs from the demo.
_QUEUED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("h4nd", {"name": "hunt lr=0.0001", "learning_rate": 1e-4}),
    ("k7pe", {"name": "hunt lr=0.0003", "learning_rate": 3e-4}),
    ("r2vx", {"name": "hunt lr=0.001", "learning_rate": 1e-3}),
    ("w9ma", {"name": "demo-long", "steps": 400}),
)
#: The run whose checkpoints lie on the disk, and the one of them that is pinned.
_SAVED, PINNED = "dpo", 54


def settle_in() -> None:
    """Directories of our own, UTC, and no wish of the person's."""
    shutil.rmtree(PLACE, ignore_errors=True)
    for kind in ("DATA", "CONFIG", "CACHE", "RUNTIME"):
        (PLACE / kind.lower()).mkdir(parents=True, mode=0o700)
    for name in [name for name in os.environ if name.startswith("BACKPROP_") or name == "NO_COLOR"]:
        del os.environ[name]
    for kind in ("DATA", "CONFIG", "CACHE", "RUNTIME"):
        os.environ[f"BACKPROP_{kind}_DIR"] = str(PLACE / kind.lower())
    os.environ |= {"TZ": "UTC", "HF_HUB_OFFLINE": "1", "LANG": "C.UTF-8"}
    time.tzset()


def leave() -> None:
    """Put the place away."""
    os.chdir(HERE)
    shutil.rmtree(PLACE, ignore_errors=True)


def record() -> None:
    """Run the demo through the real engine in every way, and keep run.json and the journals."""
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.launch.session import RunSession
    from backprop_tui.launch.start import start_run

    async def follow() -> None:
        async with RunSession(run) as session:
            async for _ in session.events(after=0):
                pass

    shutil.rmtree(RECORDING, ignore_errors=True)
    os.environ["BACKPROP_START_LIMIT"] = "0"
    for name, (preset, changes) in RECORDED.items():
        run = start_run(preset_spec(preset, overrides=changes))
        asyncio.run(follow())
        kept = RECORDING / name
        kept.mkdir(parents=True)
        shutil.copy(run.spec_file, kept / "run.json")
        lines = [json.loads(line) for line in run.journal_file.read_text().splitlines()]
        assert lines[-1]["kind"] == "end", f"the {name} run did not end"
        shutil.copy(run.journal_file, kept / "events.jsonl")
        shutil.rmtree(run.path)


def _saved(run: Any) -> None:
    """The checkpoints that the journal says are there, as large as it says, one of them pinned."""
    from backprop_tui.store import checkpoints, pins

    events = [json.loads(line) for line in run.journal_file.read_text().splitlines()]
    gone = {event["data"]["step"] for event in events if event["kind"] == "checkpoint_removed"}
    for event in events:
        if event["kind"] == "checkpoint" and event["data"]["step"] not in gone:
            step = event["data"]["step"]
            place = checkpoints.staging(run, step)
            with (place / "adapter_model.safetensors").open("wb") as weights:
                weights.truncate(event["data"]["bytes"])
            checkpoints.publish(place, run.checkpoint(step), step=step, fingerprint={})
    pins.pin(run, PINNED)


def stage() -> tuple[Any, float]:
    """Lay out the runs: finished ones, and one cut short whose lock is held. Gives the lock and the time it is."""
    from backprop_tui.config import paths
    from backprop_tui.store.layout import RunDir
    from backprop_tui.store.locks import RunLock

    root = paths.runs_dir()
    now = 0.0
    live = None
    for end, recording, days in _LISTED:
        lines = (RECORDING / recording / "events.jsonl").read_bytes().splitlines(keepends=True)
        began = json.loads(lines[0])["wall"] - days * 86_400
        run = RunDir(root / time.strftime(f"%Y%m%d-%H%M%S-{end}", time.gmtime(began)))
        run.checkpoints.mkdir(parents=True)
        shutil.copy(RECORDING / recording / "run.json", run.spec_file)
        if days == 0:
            cut = next(at for at, line in enumerate(lines) if json.loads(line)["data"].get("step") == LIVE_STEP)
            lines = lines[: cut + 1]
            now, live = json.loads(lines[-1])["wall"], run
        run.journal_file.write_bytes(b"".join(lines))
        if recording == _SAVED:
            _saved(run)
    assert live is not None
    files = PLACE / "chats"
    files.mkdir()
    rows = paths.demo_data_file("train").read_text().splitlines(keepends=True)
    (files / "ships-mate.jsonl").write_text("".join(rows))
    (files / "torn.jsonl").write_text("".join(rows[:40]) + rows[40][:50])
    pairs = [json.loads(row)["messages"] for row in rows[:120]]
    table = "".join(f'"{pair[-2]["content"]}","{pair[-1]["content"]}"\n' for pair in pairs)
    (files / "answers.csv").write_text(f"question,answer\n{table}")
    os.chdir(files)
    for file in [*files.iterdir(), *root.rglob("*")]:
        os.utime(file, (now, now))
    return RunLock(live.lock_file).acquire(), now


def fill_queue() -> None:
    """Three trials of a sweep and a run of their own wait in a queue that is held."""
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.store.queue import Queue, Queued

    queue = Queue()
    if queue.root.exists():
        return
    with queue.edit():
        queue.hold_within("It was stopped by hand.")
        for at, (end, changes) in enumerate(_QUEUED):
            spec = preset_spec("demo", overrides=changes)
            trial = {"sweep": "hunt", "trial": at + 1} if changes["name"].startswith("hunt") else None
            words = spec.model_dump(mode="json")
            queue.put(Queued(f"queue-{end}", float(at), time.time(), spec.title, words, sweep=trial))


@contextlib.contextmanager
def fixed(now: float) -> Iterator[None]:
    """The same clock, host and hardware each time; the monotonic clock goes on."""
    from backprop_tui.hardware.host import HostSampler

    real = time.localtime
    disk = shutil._ntuple_diskusage(500_000_000_000, 300_000_000_000, 200_000_000_000)  # type: ignore[attr-defined]
    with (
        mock.patch("time.time", return_value=now),
        mock.patch("time.localtime", lambda seconds=None: real(now if seconds is None else seconds)),
        mock.patch.object(platform, "node", return_value="gpu-box"),
        mock.patch.object(shutil, "disk_usage", return_value=disk),
        mock.patch.object(os, "cpu_count", return_value=16),
        mock.patch.object(HostSampler, "_memory", return_value=(12_000_000_000, 64_000_000_000)),
    ):
        yield
