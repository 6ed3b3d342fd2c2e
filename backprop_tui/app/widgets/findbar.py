"""The line that opens under `/`: what is typed filters at once, Enter keeps it, Esc forgets it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from backprop_tui.app.widgets.lineinput import LineInput


class FindBar(Horizontal):
    """Hidden until `open`; takes no room then."""

    DEFAULT_CSS = """
    FindBar {
        height: 1; display: none;
        & > Static { width: 2; color: $bp-key; }
        & > LineInput { width: 1fr; }
    }
    """

    @dataclass
    class Changed(Message):
        """The text to look for is another one; `done` after Enter or Esc, `moved` on Enter."""

        bar: FindBar
        text: str
        done: bool = False

        @property
        def control(self) -> FindBar:
            """The bar, for `@on` selectors."""
            return self.bar

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._placeholder = placeholder
        self._back: Widget | None = None

    def compose(self) -> ComposeResult:
        """A slash and the line."""
        yield Static(Content("/ "))
        yield LineInput(placeholder=self._placeholder)

    def open(self, back: Widget) -> None:
        """Show the line and type into it; `back` gets the focus afterwards."""
        self._back = back
        self.display = True
        # At once, not after the next refresh: what is typed ahead belongs here.
        self.screen.set_focus(self.query_one(LineInput))

    @property
    def text(self) -> str:
        """What is looked for."""
        return self.query_one(LineInput).value.strip()

    def clear(self) -> None:
        """Forget the text and hide."""
        with self.prevent(Input.Changed):
            self.query_one(LineInput).value = ""
        self.display = False

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filter while typing."""
        message.stop()
        self.post_message(self.Changed(self, message.value.strip()))

    def on_line_input_accepted(self, message: LineInput.Accepted) -> None:
        """Enter keeps the filter."""
        message.stop()
        if not message.text:
            self.display = False
        self._return()
        self.post_message(self.Changed(self, message.text, done=True))

    def on_line_input_left(self, message: LineInput.Left) -> None:
        """Esc forgets it."""
        message.stop()
        self.clear()
        self._return()
        self.post_message(self.Changed(self, "", done=True))

    def _return(self) -> None:
        if self._back is not None:
            self.screen.set_focus(self._back)
