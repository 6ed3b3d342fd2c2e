"""What is photographed, and how the app is brought there: by the keys a person would press."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from world import LIVE_STEP, fill_queue

SIZES = ((120, 40), (80, 24))
THEMES = ("backprop-dark", "backprop-light", "high-contrast", "terminal", "mono")
#: Looks at the screen that must agree before it counts as finished, and seconds between them.
_SAME = 4
_BETWEEN = 0.1


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the room the app opens with, what is done then, and which run is open (the newest)."""

    name: str
    room: str
    prepare: Callable[[Any], Awaitable[None]]
    run: str | None = None


def text_of(pilot: Any) -> str:
    """The screen, with whatever lies over it."""
    app = pilot.app
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Any, wanted: str, *, absent: bool = False, timeout: float = 60.0) -> None:
    """Wait until the screen shows a text, or no longer does."""
    deadline = time.monotonic() + timeout
    while (wanted in text_of(pilot)) == absent:
        if time.monotonic() > deadline:
            raise SystemExit(f"{wanted!r} {'never went' if absent else 'never appeared'}:\n{text_of(pilot)}")
        await pilot.pause(0.1)


async def at_rest(pilot: Any, timeout: float = 60.0) -> None:
    """Wait until the screen stays as it is."""
    deadline, same, last = time.monotonic() + timeout, 0, ""
    while same < _SAME:
        if time.monotonic() > deadline:
            raise SystemExit(f"the screen never comes to rest:\n{last}")
        await pilot.pause(_BETWEEN)
        seen = text_of(pilot)
        same, last = (same + 1 if seen == last else 0), seen


async def _run(pilot: Any) -> None:
    await until(pilot, f"{LIVE_STEP}/120")
    await until(pilot, "eval step=60")


async def _samples(pilot: Any) -> None:
    await _run(pilot)
    await pilot.press("b")
    await until(pilot, "Fair winds!")


async def _runs(pilot: Any) -> None:
    await until(pilot, "completed")


async def _compare(pilot: Any) -> None:
    await _runs(pilot)
    await pilot.press("down", "space", "down", "space", "c")
    await until(pilot, "A demo-bold")


async def _data(pilot: Any) -> None:
    await until(pilot, "Aye, captain!")
    await until(pilot, "of the tokens are trained on" if pilot.app.size.width >= 110 else "p50")


async def _tune(pilot: Any) -> None:
    await until(pilot, "learning rate")
    await until(pilot, "458")
    await until(pilot, "checking", absent=True)


async def _plan(pilot: Any) -> None:
    await _tune(pilot)
    await _find(pilot, "/multi-run")
    await pilot.press("right")
    await until(pilot, "1 changed")
    await until(pilot, "checking", absent=True)
    await pilot.press("g")
    await until(pilot, "Launch this run")
    await until(pilot, "60, 16 rows each")


async def _find(pilot: Any, words: str) -> None:
    for letter in words:
        await pilot.press({"/": "slash", "-": "minus"}.get(letter, letter))
    await pilot.press("enter")


async def _dpo(pilot: Any) -> None:
    await until(pilot, "60/60")
    await until(pilot, "reward margin")


async def _matrix(pilot: Any) -> None:
    await until(pilot, "48/48")
    await pilot.press("M")
    await until(pilot, "backward transfer")


async def _multi(pilot: Any) -> None:
    await until(pilot, "48/48")
    await until(pilot, "next run")


async def _checkpoints(pilot: Any) -> None:
    await _runs(pilot)
    await pilot.press("down", "down", "down", "C")
    await until(pilot, "checkpoints of demo-dpo")


async def _queue(pilot: Any) -> None:
    fill_queue()
    await until(pilot, "queued 4")
    await pilot.press("home")


async def _settings(pilot: Any) -> None:
    await _run(pilot)
    await pilot.press("f3")
    await until(pilot, "profile")


async def _help(pilot: Any) -> None:
    await _run(pilot)
    await pilot.press("question_mark")
    await until(pilot, "Choose the metric")


SHOTS = (
    Shot("data", "data", _data),
    Shot("tune", "tune", _tune),
    Shot("plan", "tune", _plan),
    Shot("run", "run", _run),
    Shot("dpo", "run", _dpo, "demo-dpo"),
    Shot("multi", "run", _multi, "demo-slao"),
    Shot("matrix", "run", _matrix, "demo-slao"),
    Shot("samples", "run", _samples),
    Shot("runs", "runs", _runs),
    Shot("checkpoints", "runs", _checkpoints),
    Shot("compare", "runs", _compare),
    Shot("settings", "run", _settings),
    Shot("help", "run", _help),
    Shot("queue", "runs", _queue),
)
