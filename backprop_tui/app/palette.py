"""What `^P` offers: the active actions of the open room and the app."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from backprop_tui.app.actions import active_keys, key_shown


def commands(app: App[Any], screen: Screen[Any]) -> Iterator[SystemCommand]:
    """One command per active action, in table order."""
    offers = getattr(screen, "offers", lambda _: True)
    for action, keys, entry in active_keys(screen).values():
        if action.palette and offers(action):
            run = partial(app.run_action, entry.binding.action, entry.node)
            yield SystemCommand(action.title, f"{key_shown(action, keys)}  {action.help}", run)
