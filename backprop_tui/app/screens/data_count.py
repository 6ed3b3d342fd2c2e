"""A question for one setting of the data that says, while it is typed, what it would make of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.widgets.lineinput import LineInput
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

#: Seconds without a key before the rows are counted.
_SETTLE_S = 0.3

T = TypeVar("T")
#: Counts rows in a thread, and says it in words.
Count = Callable[[Cancelled], str]


class CountModal(ModalScreen[str | None]):
    """Ask for one line. The result is the text, or None for Esc.

    Args:
        title: what is asked for. body: some sentences of help. value: text to start with.
        prepare: called with the text; gives what counts the rows, None where there is nothing to count.
            It raises BackpropError when the text will not do.
    """

    DEFAULT_CSS = """
    CountModal {
        align: center middle; background: $background 60%;
        & > #box {
            width: 92; max-width: 96%; height: auto; max-height: 94%; background: $surface;
            border: round $primary; padding: 0 1; border-title-color: $foreground; border-title-style: bold;
        }
        & #body { width: 1fr; height: auto; padding: 0 1; }
        & LineInput { width: 1fr; margin: 1 1; }
        & #says { width: 1fr; height: auto; min-height: 2; max-height: 6; padding: 0 1; }
        & #says.-bad { color: $bp-bad; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]
    AUTO_FOCUS = "LineInput"

    def __init__(
        self,
        title: Content,
        body: Content,
        value: str,
        prepare: Callable[[str], Count | None],
        *,
        placeholder: str = "",
    ) -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._value = value
        self._prepare = prepare
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Help, the line, and what it would do."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            box.border_subtitle = Content("Enter accept · Esc cancel")
            yield Static(self._body, id="body")
            yield LineInput(self._value, placeholder=self._placeholder)
            yield Static(Content(""), id="says")

    def on_mount(self) -> None:
        """Count for the value there is."""
        self._timer = self.set_timer(_SETTLE_S, lambda: None, pause=True)
        self._look(self._value)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Check at once, count when typing pauses."""
        message.stop()
        self._look(message.value)

    def on_line_input_accepted(self, message: LineInput.Accepted) -> None:
        """Close when the text will do; the count may still run."""
        message.stop()
        try:
            self._prepare(message.text)
        except BackpropError as error:
            self._say(f"{error.cause} {error.next_step}", bad=True)
            return
        self.dismiss(message.text)

    def on_line_input_left(self, message: LineInput.Left) -> None:
        """Esc in the line."""
        message.stop()
        self.dismiss(None)

    def action_cancel(self) -> None:
        """Nothing happens."""
        self.dismiss(None)

    def _say(self, words: str, *, bad: bool = False) -> None:
        says = self.query_one("#says", Static)
        says.set_class(bad, "-bad")
        says.update(Content(safe_text(words, limit=600)))

    def _look(self, text: str) -> None:
        self._timer.stop()
        # What is counted for the text before is of no use.
        self.workers.cancel_group(self, "count-rows")
        try:
            count = self._prepare(text.strip())
        except BackpropError as error:
            self._say(f"{error.cause} {error.next_step}", bad=True)
            return
        if count is None:
            self._say("")
            return
        counting = count
        self._say("counting…")
        self._timer = self.set_timer(_SETTLE_S, lambda: self._count(counting))

    def _count(self, count: Count) -> None:
        def failed(error: BackpropError) -> None:
            self._say(f"{error.cause} {error.next_step}", bad=True)

        in_thread(self, count, self._say, failed, group="count-rows")
