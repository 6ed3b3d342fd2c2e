"""The filter line of the Runs screen: what is typed filters at once, what fits is offered, what is wrong is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from backprop_tui.app.actions import bindings
from backprop_tui.app.keymap import runs as keys
from backprop_tui.app.widgets.lineinput import LineInput
from backprop_tui.app.widgets.painted import Line, Painted
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.filter import Filter, parse_filter
from backprop_tui.store.filter_hints import Hints, hints

_EXAMPLE = "loss<1.2  state:failed  model~qwen  age<7d  tag:good  lr>=1e-4  has:eval  !archived"


class HintLine(Painted):
    """Candidates, an error, or what a filter looks like."""

    DEFAULT_CSS = "HintLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.found = Hints(0, ())
        self.problem = ""
        self.empty = True

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The line."""
        if self.found.candidates:
            first, *others = (safe_text(one, limit=60) for one in self.found.candidates)
            return [(("  Tab ", "key"), (first, "strong"), *((f"  {one}", "muted") for one in others))]
        if self.problem:
            return [((f"  {self.problem}", "warn"),)]
        return [((f"  {_EXAMPLE}", "muted"),)] if self.empty else []


class FilterBar(Vertical):
    """Hidden until `open`; takes no room then. The last filter that was understood holds while another is typed."""

    DEFAULT_CSS = """
    FilterBar {
        height: 2; display: none;
        &.-kept { height: 1; }
        &.-kept HintLine { display: none; }
        & > Horizontal { height: 1; }
        & Static { width: 2; color: $bp-key; }
        & LineInput { width: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.FILTER)]

    @dataclass
    class Changed(Message):
        """Another filter holds."""

        filter: Filter

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.values: Mapping[str, Sequence[str]] = {}
        self._back: Widget | None = None

    def compose(self) -> ComposeResult:
        """A slash, the line, and the hints."""
        with Horizontal():
            yield Static(Content("/ "))
            yield LineInput(placeholder="words, or figures and settings with < > : ~")
        yield HintLine()

    def open(self, back: Widget) -> None:
        """Show the line and type into it; `back` gets the focus afterwards."""
        self._back = back
        self.display = True
        self.remove_class("-kept")
        # At once, not after the next refresh: what is typed ahead belongs here.
        self.screen.set_focus(self.query_one(LineInput))

    @property
    def text(self) -> str:
        """What is typed."""
        return self.query_one(LineInput).value.strip()

    def preset(self, text: str) -> None:
        """A filter from before."""
        with self.prevent(Input.Changed):
            self.query_one(LineInput).value = safe_text(text, limit=400)
        self.display = bool(text)
        self.add_class("-kept")

    def action_complete(self) -> None:
        """Take the first candidate."""
        line = self.query_one(LineInput)
        text, cursor = self.query_one(HintLine).found.completed(line.value, line.cursor_position)
        if text != line.value:
            line.value, line.cursor_position = text, cursor

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filter while typing."""
        message.stop()
        self._apply(message.value, message.input.cursor_position)

    def on_line_input_accepted(self, message: LineInput.Accepted) -> None:
        """Enter keeps the filter; one that is not understood stays to be mended."""
        message.stop()
        if not self._apply(message.text, -1):
            return
        self.display = bool(message.text)
        self.add_class("-kept")
        self._return()

    def on_line_input_left(self, message: LineInput.Left) -> None:
        """Esc forgets it."""
        message.stop()
        with self.prevent(Input.Changed):
            self.query_one(LineInput).value = ""
        self.display = False
        self._return()
        self.post_message(self.Changed(Filter("")))

    def _apply(self, text: str, cursor: int) -> bool:
        line = self.query_one(HintLine)
        line.empty, line.problem = not text.strip(), ""
        line.found = hints(text, cursor, self.values) if cursor >= 0 else Hints(0, ())
        try:
            found = parse_filter(text)
        except UsageError as error:
            line.problem = f"{error.cause} {error.next_step}"
            line.repaint()
            return False
        line.repaint()
        self.post_message(self.Changed(found))
        return True

    def _return(self) -> None:
        if self._back is not None:
            self.screen.set_focus(self._back)
