"""Draw `screenshots/` from the real app showing a real, recorded run.

    python screenshots/make.py             every screen at 120x40 and 80x24, and the Run screen in every theme
    python screenshots/make.py --record    run the demo first and keep its journal as the recording

Clock, host name and directories are fixed, so the same code draws the same pictures. SVG always; PNG too where cairosvg is
installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from pictures import draw_braille, to_png

HERE = Path(__file__).resolve().parent
RECORDING = HERE / "recording"
PLACE = Path("/tmp/backprop-screenshots")
SIZES = ((120, 40), (80, 24))
THEMES = ("backprop-dark", "backprop-light", "high-contrast", "terminal", "mono")
#: The recorded run is shown as it stood after this step.
LIVE_STEP = 74


def record() -> None:
    """Run the demo through the real engine and keep run.json and the journal."""
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.launch.session import RunSession
    from backprop_tui.launch.start import start_run

    async def follow() -> None:
        async with RunSession(run) as session:
            async for _ in session.events(after=0):
                pass

    run = start_run(preset_spec("demo"))
    asyncio.run(follow())
    shutil.rmtree(RECORDING, ignore_errors=True)
    RECORDING.mkdir(parents=True)
    for file in (run.spec_file, run.journal_file):
        shutil.copy(file, RECORDING / file.name)
    (RECORDING / "id").write_text(f"{run.id}\n")
    shutil.rmtree(run.path)


def stage() -> tuple[Any, Any, float]:
    """Lay out runs from the recording: a live one (cut short, its lock held) and two finished ones."""
    from backprop_tui.config import paths
    from backprop_tui.store.layout import RunDir
    from backprop_tui.store.locks import RunLock

    recorded = (RECORDING / "id").read_text().strip()
    lines = (RECORDING / "events.jsonl").read_bytes().splitlines(keepends=True)
    cut = next(i for i, line in enumerate(lines) if json.loads(line)["data"].get("step") == LIVE_STEP)
    root = paths.runs_dir()
    for run_id, kept in (
        ("20261121-091502-c4yd", lines),
        ("20261122-170911-m8te", lines),
        (recorded, lines[: cut + 1]),
    ):
        run = RunDir(root / run_id)
        run.checkpoints.mkdir(parents=True)
        shutil.copy(RECORDING / "run.json", run.spec_file)
        run.journal_file.write_bytes(b"".join(kept))
    live = RunDir(root / recorded)
    files = PLACE / "chats"
    files.mkdir()
    rows = paths.demo_data_file("train").read_text().splitlines(keepends=True)
    (files / "ships-mate.jsonl").write_text("".join(rows))
    (files / "torn.jsonl").write_text("".join(rows[:40]) + rows[40][:50])
    pairs = [json.loads(row)["messages"] for row in rows[:120]]
    table = "".join(f'"{pair[-2]["content"]}","{pair[-1]["content"]}"\n' for pair in pairs)
    (files / "answers.csv").write_text(f"question,answer\n{table}")
    os.chdir(files)
    last = json.loads(lines[cut])["wall"]
    return live, RunLock(live.lock_file).acquire(), last


@contextlib.contextmanager
def fixed_world(now: float) -> Iterator[None]:
    """The same clock and host name each time; the monotonic clock goes on."""
    real = time.localtime
    with (
        mock.patch("time.time", return_value=now),
        mock.patch("time.localtime", lambda seconds=None: real(now if seconds is None else seconds)),
        mock.patch.object(platform, "node", return_value="gpu-box"),
    ):
        yield


Shot = tuple[str, str, Callable[[Any], Awaitable[None]]]


async def shoot(
    name: str, screen: str, size: tuple[int, int], theme: str, prepare: Callable[[Any], Awaitable[None]]
) -> Path:
    """One picture of the app in one state."""
    from backprop_tui.app.app import BackpropApp
    from backprop_tui.app.terminal import PROFILES, Terminal
    from backprop_tui.store.layout import find_run

    profile = PROFILES["local"]
    app = BackpropApp(screen, find_run(None), Terminal(profile, False, theme, {}, False))
    async with app.run_test(size=size, notifications=False, tooltips=False) as pilot:
        await prepare(pilot)
        await pilot.pause()
        svg = app.export_screenshot(title=None)
    target = HERE / f"{name}-{size[0]}x{size[1]}-{theme}.svg"
    target.write_text(draw_braille(svg))
    return target


async def until(pilot: Any, wanted: str, *, absent: bool = False, timeout: float = 30.0) -> None:
    """Wait until the screen shows a text, or no longer does."""
    deadline = time.monotonic() + timeout
    while (wanted in "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())) == absent:
        if time.monotonic() > deadline:
            raise SystemExit(f"{wanted!r} never appeared")
        await pilot.pause(0.1)


async def show_run(pilot: Any) -> None:
    await until(pilot, f"{LIVE_STEP}/120")
    await until(pilot, "eval step=60")


async def show_samples(pilot: Any) -> None:
    await show_run(pilot)
    await pilot.press("b")
    await until(pilot, "Fair winds!")


async def show_runs(pilot: Any) -> None:
    await until(pilot, "completed")


async def show_data(pilot: Any) -> None:
    await until(pilot, "Aye, captain!")
    await until(pilot, "of the tokens are trained on" if pilot.app.size.width >= 110 else "p50")


async def show_tune(pilot: Any) -> None:
    await until(pilot, "learning rate")
    await until(pilot, "458")
    await until(pilot, "checking", absent=True)


async def make() -> list[Path]:
    shots: list[Shot] = [
        ("data", "data", show_data),
        ("tune", "tune", show_tune),
        ("run", "run", show_run),
        ("samples", "run", show_samples),
        ("runs", "runs", show_runs),
    ]
    made = []
    for size in SIZES:
        for name, screen, prepare in shots:
            for theme in THEMES if name == "run" else THEMES[:1]:
                made.append(await shoot(name, screen, size, theme, prepare))
                print(made[-1].name, flush=True)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true", help="run the demo first and keep its journal")
    options = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    for kind in ("DATA", "CONFIG", "CACHE", "RUNTIME"):
        (PLACE / kind.lower()).mkdir(parents=True, mode=0o700)
        os.environ[f"BACKPROP_{kind}_DIR"] = str(PLACE / kind.lower())
    os.environ.pop("NO_COLOR", None)
    if options.record:
        record()
    _, lock, now = stage()
    try:
        with fixed_world(now + 1.0):
            made = asyncio.run(make())
    finally:
        lock.release()
    to_png(made)
    shutil.rmtree(PLACE, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
