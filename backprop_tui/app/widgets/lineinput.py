"""`LineInput`: one line of text without a blinking cursor; Enter accepts, Esc leaves, nothing else escapes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from backprop_tui.protocol.text import safe_text


class LineInput(Input):
    """A compact input. A blinking cursor costs 2.5 kB/s over SSH, so it stands still."""

    DEFAULT_CSS = """
    LineInput {
        height: 1; border: none; padding: 0; background: $panel;
        &:focus { border: none; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", show=False)]

    @dataclass
    class Accepted(Message):
        """Enter."""

        input: LineInput
        text: str

        @property
        def control(self) -> LineInput:
            """The input, for `@on` selectors."""
            return self.input

    @dataclass
    class Left(Message):
        """Esc: the text is to be forgotten."""

        input: LineInput

        @property
        def control(self) -> LineInput:
            """The input, for `@on` selectors."""
            return self.input

    def __init__(
        self, value: str = "", *, placeholder: str = "", id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(
            safe_text(value), placeholder=placeholder, id=id, classes=classes, compact=True, select_on_focus=False
        )
        self.cursor_blink = False
        self.auto_links = False

    def on_mount(self) -> None:
        """Type at the end of what is there."""
        self.cursor_position = len(self.value)

    def action_leave(self) -> None:
        """Give up editing."""
        self.post_message(self.Left(self))

    async def action_submit(self) -> None:
        """Accept what was typed."""
        self.post_message(self.Accepted(self, self.value.strip()))

    def _on_paste(self, event: events.Paste) -> None:
        """Pasted text is foreign: controls become visible stand-ins, only the first line counts."""
        lines = event.text.splitlines()
        if lines:
            self.insert_text_at_cursor(safe_text(lines[0]))
        event.stop()
        event.prevent_default()
