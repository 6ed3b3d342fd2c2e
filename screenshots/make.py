"""Draw `screenshots/` from the real app showing real, recorded runs.

    python screenshots/make.py                 every screen at 120x40 and 80x24 in every theme
    python screenshots/make.py --record        run the demo first and keep its journal as the recording
    python screenshots/make.py --out DIR --no-png --only run,help

Clock, host, hardware and directories are fixed, so the same code draws the same pictures. SVG always; PNG too where cairosvg and
pillow are installed. A test compares what is committed with what the code draws.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from pictures import draw_braille, normalised, to_png
from shots import SHOTS, SIZES, THEMES, Shot, at_rest
from world import HERE, fixed, leave, record, settle_in, stage


async def shoot(shot: Shot, size: tuple[int, int], out: Path) -> list[Path]:
    """One state of the app in every theme."""
    from backprop_tui.app.app import BackpropApp
    from backprop_tui.app.terminal import PROFILES, Terminal
    from backprop_tui.store.layout import find_run

    terminal = Terminal(PROFILES["local"], False, THEMES[0], {}, False, title=False, restore=False, hold=False)
    app = BackpropApp(shot.room, find_run(shot.run), terminal)
    made = []
    async with app.run_test(size=size, notifications=False, tooltips=False) as pilot:
        await shot.prepare(pilot)
        await at_rest(pilot)
        for theme in THEMES:
            app.theme = theme
            await pilot.pause()
            await pilot.pause(0.05)
            target = out / f"{shot.name}-{size[0]}x{size[1]}-{theme}.svg"
            target.write_text(normalised(draw_braille(app.export_screenshot(title=None))))
            made.append(target)
    return made


async def make(out: Path, only: set[str]) -> list[Path]:
    """Every picture wanted."""
    made = []
    for shot in SHOTS:
        for size in SIZES:
            if not only or shot.name in only:
                made += await shoot(shot, size, out)
                print(f"{shot.name} {size[0]}x{size[1]}", flush=True)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true", help="run the demo first and keep its journal")
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures go")
    parser.add_argument("--only", default="", help="names of screens, separated by commas")
    parser.add_argument("--no-png", action="store_true", help="SVG only")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    settle_in()
    try:
        if options.record:
            record()
        lock, now = stage()
        try:
            with fixed(now + 1.0):
                made = asyncio.run(make(out, {name for name in options.only.split(",") if name}))
        finally:
            lock.release()
        if not options.no_png:
            to_png(made)
    finally:
        leave()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
