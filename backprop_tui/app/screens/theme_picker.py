"""The list of themes: moving the bar shows each on the whole app, Enter keeps it, Esc goes back to the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from backprop_tui.app.widgets.modal import Choice, ChoiceList


class ThemeList(ChoiceList):
    """Names of themes; every move of the bar is told."""

    class Moved(Message):
        """The bar is on another theme."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def action_move(self, by: int) -> None:
        """Move the bar and say where it is."""
        before = self.selected
        super().action_move(by)
        if self.selected != before:
            self.post_message(self.Moved(self.choices[self.selected].value))


class ThemePicker(ModalScreen[str | None]):
    """Choose a theme. The result is its name, or None when Esc brought the one before back.

    Args:
        names: themes in order, ours first. now: the one in use.
    """

    DEFAULT_CSS = """
    ThemePicker {
        align: right middle; background: transparent;
        & > #box {
            width: 34; height: auto; max-height: 90%; margin: 0 2; padding: 0 1;
            background: $surface; border: round $primary; border-title-color: $primary; border-title-style: bold;
        }
        & ChoiceList { height: auto; max-height: 24; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "cancel", "Back", show=False)]
    AUTO_FOCUS = "#choices"

    def __init__(self, names: Sequence[str], now: str) -> None:
        super().__init__()
        self._before = now
        self._choices = [Choice(name, name) for name in names]
        self._at = list(names).index(now) if now in names else 0

    def compose(self) -> ComposeResult:
        """The names in a frame."""
        with Vertical(id="box") as box:
            box.border_title = Content("theme")
            box.border_subtitle = Content("Enter keep · Esc back")
            yield ThemeList(self._choices, self._at)

    def on_theme_list_moved(self, message: ThemeList.Moved) -> None:
        """See it on the whole app."""
        message.stop()
        self.app.theme = message.name

    def action_cancel(self) -> None:
        """The theme of before."""
        self.app.theme = self._before
        self.dismiss(None)
