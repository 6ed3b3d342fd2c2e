"""Every key of the open room, made from the actions that are active."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from backprop_tui.app.actions import SCOPES, active_keys
from backprop_tui.app.keynames import key_words


class HelpScreen(ModalScreen[None]):
    """A sheet of keys over the room; Esc, q or ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "close", "Close", show=False)]
    CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 94%; padding: 0 2;
        border: round $primary; border-title-color: $primary; border-title-style: bold; background: $surface;
        scrollbar-size-vertical: 1;
    }
    HelpScreen Static { width: 1fr; }
    """

    def compose(self) -> ComposeResult:
        """The sheet."""
        with VerticalScroll() as sheet:
            sheet.border_title = "keys"
            sheet.border_subtitle = "Esc close"
            yield Static(self._sheet())

    def on_mount(self) -> None:
        """Arrow keys scroll at once."""
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        """Back to the room."""
        self.dismiss()

    def _sheet(self) -> Text:
        below: list[Screen[Any]] = [screen for screen in self.app.screen_stack if screen is not self]
        active = active_keys(below[-1]) if below else {}
        sheet = Text()
        for scope, title in SCOPES.items():
            group = [(action, keys) for action, keys, _ in active.values() if action.scope == scope]
            if not group:
                continue
            sheet.append(f"{title}\n" if not sheet.plain else f"\n{title}\n", "bold")
            for action, keys in group:
                sheet.append(f"  {' '.join(key_words(key) for key in keys[:3]):<12}", "bold")
                sheet.append(f"{action.title:<24}")
                sheet.append(f"{action.help}\n", "dim")
        return sheet
