"""Every key of the open room, made from the actions that are active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen

from backprop_tui.app.actions import SCOPES, active_keys
from backprop_tui.app.keynames import key_words
from backprop_tui.app.widgets.lines import Line, wrap
from backprop_tui.app.widgets.sheet import LongSheet

#: Cells of the keys and of the titles; what a key does gets the rest.
_KEYS, _TITLE = 12, 28


class HelpScreen(ModalScreen[None]):
    """A sheet of keys over the room; Esc, q or ? closes it, arrows and vim's letters scroll it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "close", "Close", show=False)]
    AUTO_FOCUS = "#keys"
    CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > #box {
        width: 96; max-width: 96%; height: 94%; padding: 0 1;
        border: round $primary; border-title-color: $primary; border-title-style: bold; background: $surface;
    }
    """

    def compose(self) -> ComposeResult:
        """The sheet."""
        with Vertical(id="box") as box:
            box.border_title = Content("keys")
            box.border_subtitle = Content("↑↓ scroll · Esc close")
            yield LongSheet(id="keys")

    def on_mount(self) -> None:
        """Fill it with what answers in the room below."""
        below: list[Screen[Any]] = [screen for screen in self.app.screen_stack if screen is not self]
        active = active_keys(below[-1]) if below else {}
        groups: list[tuple[str, list[tuple[str, str, str]]]] = []
        for scope, title in SCOPES.items():
            rows = [
                (" ".join(key_words(key) for key in keys[:3]), action.title, action.help)
                for action, keys, _ in active.values()
                if action.scope == scope
            ]
            if rows:
                groups.append((title, rows))
        self.query_one("#keys", LongSheet).show(lambda width: _lines(groups, width))

    def action_close(self) -> None:
        """Back to the room."""
        self.dismiss()


def _lines(groups: Sequence[tuple[str, Sequence[tuple[str, str, str]]]], width: int) -> list[Line]:
    lines: list[Line] = []
    for title, rows in groups:
        if lines:
            lines.append(())
        lines.append(((title, "strong"),))
        for keys, name, does in rows:
            room = width - _KEYS - _TITLE - 4
            words = wrap(does, room) if room >= 12 else []
            head: Line = ((f"  {keys:<{_KEYS}}", "key"), (f"{name:<{_TITLE}}  ", "text"))
            lines.append((*head, (words[0] if words else "", "muted")))
            lines += [((" " * (_KEYS + _TITLE + 4), "text"), (more, "muted")) for more in words[1:]]
    return lines
