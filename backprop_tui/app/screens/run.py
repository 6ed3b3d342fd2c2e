"""Run: one run, live or past."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from backprop_tui.app.actions import bindings
from backprop_tui.app.keymap import run as keymap
from backprop_tui.app.screens.room import Room
from backprop_tui.store.layout import RunDir


class RunScreen(Room):
    """One run: progress, loss, machine, log."""

    ROOM = "run"
    BINDINGS: ClassVar[list[BindingType]] = bindings(action for action in keymap.ACTIONS if action.scope == "run")

    def compose_body(self) -> ComposeResult:
        """The panels."""
        yield from ()

    def open(self, run: RunDir) -> None:
        """Show another run."""
