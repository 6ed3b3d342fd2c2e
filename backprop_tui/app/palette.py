"""What `^P` offers: the active actions of the open room and the app."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from backprop_tui.app.actions import key_words, registry


def commands(app: App[Any], screen: Screen[Any]) -> Iterator[SystemCommand]:
    """One command per active action, in table order."""
    actions = registry()
    active = {
        entry.binding.id: (key, entry) for key, entry in reversed(screen.active_bindings.items()) if entry.enabled
    }
    for name, action in actions.items():
        if name not in active or not action.palette:
            continue
        key, entry = active[name]
        run = partial(app.run_action, entry.binding.action, entry.node)
        yield SystemCommand(action.title, f"{key_words(key)}  {action.help}", run)
