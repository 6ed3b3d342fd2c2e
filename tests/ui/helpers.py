"""Waiting for what a screen shows, with a deadline instead of a sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from backprop_tui.app import themes


class BareApp(App[None]):
    """An app that knows our colours and nothing else, for widgets on their own."""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults(self.current_theme)


def screen_text(app: App[Any]) -> str:
    """What the screen shows."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[Any], condition: Callable[[], object], timeout: float = 20.0) -> None:
    """Let the app work until the condition holds; fails with the screen when it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never came to this; the screen was:\n{screen_text(pilot.app)}")
        await pilot.pause(0.02)


async def shows(pilot: Pilot[Any], text: str, timeout: float = 20.0) -> None:
    """Wait until the screen shows a text."""
    await until(pilot, lambda: text in screen_text(pilot.app), timeout)


async def type_text(pilot: Pilot[Any], text: str) -> None:
    """Type as a person does."""
    names = {"/": "slash", " ": "space", ".": "full_stop", "-": "minus", "_": "underscore"}
    for character in text:
        await pilot.press(names.get(character, character))
