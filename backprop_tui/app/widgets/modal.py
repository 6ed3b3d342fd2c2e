"""Questions: `ConfirmModal` names the exact effect and defaults to cancel, `PromptModal` asks for one line of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.widgets.lineinput import LineInput
from backprop_tui.app.widgets.lines import Line, LineView

_MODAL_CSS = """
{name} {
    align: center middle;
    background: $background 60%;
    & > #box {
        width: auto; min-width: 44; max-width: 90%;
        height: auto; max-height: 90%;
        background: $surface; border: round {tone}; padding: 0 1;
        border-title-color: $foreground; border-title-style: bold;
    }
    & #body-scroll { width: 1fr; height: auto; max-height: 60vh; scrollbar-size-vertical: 1; }
    & #body { width: 1fr; height: auto; padding: 1 1; }
}
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `key` is a letter that picks it at once; `danger` marks what cannot be taken back."""

    value: str
    label: str
    key: str = ""
    danger: bool = False


class ChoiceList(LineView):
    """The answers, one a line."""

    DEFAULT_CSS = "ChoiceList { height: auto; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("shift+tab", "move(-1)", "Up", show=False),
        Binding("tab", "move(1)", "Down", show=False),
        Binding("enter,space", "choose", "Choose", show=False),
    ]

    def __init__(self, choices: Sequence[Choice], selected: int) -> None:
        super().__init__(id="choices")
        self.choices = tuple(choices)
        self.selected = selected
        self.styles.height = len(self.choices)

    @property
    def line_count(self) -> int:
        """One line per answer."""
        return len(self.choices)

    def line(self, index: int, width: int) -> Line:
        """Bar, key and label."""
        choice = self.choices[index]
        here = index == self.selected
        tone = "bad" if choice.danger else ""
        key = f"{choice.key}  " if choice.key else "   "
        return [
            (f"{glyphs_of(self).cursor} " if here else "  ", "focus"),
            (key, "strong key"),
            (choice.label, f"strong {tone}".strip() if here else tone),
        ]

    def action_move(self, by: int) -> None:
        """Move the bar, staying inside."""
        before, self.selected = self.selected, max(0, min(len(self.choices) - 1, self.selected + by))
        self.repaint_line(before)
        self.repaint_line(self.selected)
        self.reveal(self.selected)

    def action_page(self, direction: int) -> None:
        """Move the bar by one view."""
        self.action_move(direction * self.body_height)

    def action_edge(self, direction: int) -> None:
        """To the first answer (-1) or the last (1)."""
        self.action_move(direction * len(self.choices))

    def action_choose(self) -> None:
        """Answer with the selected one."""
        self.screen.dismiss(self.choices[self.selected].value or None)

    def on_click(self, event: events.Click) -> None:
        """A click answers."""
        if 0 <= event.y < len(self.choices):
            self.screen.dismiss(self.choices[event.y].value or None)


class ConfirmModal(ModalScreen[str | None]):
    """Ask before something that matters. The result is the chosen `Choice.value`, or None for cancel and Esc.

    Args:
        title: what is about to happen.
        body: the exact effect, in sentences.
        choices: the answers besides cancel, which is added last.
        default: `value` of the answer selected at first; None is cancel.
        cancel: words of the cancel line.
    """

    DEFAULT_CSS = _MODAL_CSS.replace("{name}", "ConfirmModal").replace("{tone}", "$warning")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]
    AUTO_FOCUS = "#choices"

    def __init__(
        self,
        title: Content,
        body: Content,
        choices: Sequence[Choice],
        default: str | None = None,
        *,
        cancel: str = "Cancel",
    ) -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._choices = tuple(choices)
        self._cancel = cancel
        self._default = next((i for i, choice in enumerate(self._choices) if choice.value == default), len(choices))

    def compose(self) -> ComposeResult:
        """Title in the frame, the effect, the answers."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            box.styles.width = self._width()
            with VerticalScroll(id="body-scroll", can_focus=False):
                yield Static(self._body, id="body")
            yield ChoiceList((*self._choices, Choice("", self._cancel, "")), self._default)

    def show(self, body: Content) -> None:
        """Say something else about the effect: more has become known while the question stands."""
        self._body = body
        for box in self.query("#box"):
            box.styles.width = self._width()
        for words in self.query("#body").results(Static):
            words.update(body)

    def _width(self) -> int:
        words = [*self._body.plain.split("\n"), self._title.plain, self._cancel]
        words += [choice.label for choice in self._choices]
        return min(104, max(44, max(cell_len(line) for line in words) + 12))

    def on_key(self, event: events.Key) -> None:
        """A choice's letter picks it at once."""
        for choice in self._choices:
            if choice.key and event.character == choice.key:
                event.stop()
                self.dismiss(choice.value)
                return

    def action_cancel(self) -> None:
        """Nothing happens."""
        self.dismiss(None)


class PromptModal(ModalScreen[str | None]):
    """Ask for one line. `check` returns a sentence when the text will not do; what was typed stays.

    Args:
        title: what is asked for.
        body: one or two sentences of help.
        value: text to start with.
        placeholder: what a good answer looks like.
        check: called with the text; None lets it pass.
    """

    DEFAULT_CSS = _MODAL_CSS.replace("{name}", "PromptModal").replace("{tone}", "$primary") + (
        "PromptModal LineInput { width: 1fr; min-width: 60; margin: 0 1; }"
        "PromptModal #problem { color: $bp-bad; height: auto; margin: 0 1; width: auto; max-width: 100; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]
    AUTO_FOCUS = "LineInput"

    def __init__(
        self,
        title: Content,
        body: Content,
        *,
        value: str = "",
        placeholder: str = "",
        check: Callable[[str], str | None] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._value = value
        self._placeholder = placeholder
        self._check = check

    def compose(self) -> ComposeResult:
        """Help, the line, and what is wrong with it."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            box.border_subtitle = Content("Enter accept · Esc cancel")
            yield Static(self._body, id="body")
            yield LineInput(self._value, placeholder=self._placeholder)
            yield Static(Content(""), id="problem")

    def on_line_input_accepted(self, message: LineInput.Accepted) -> None:
        """Close when the text passes."""
        message.stop()
        problem = self._check(message.text) if self._check else None
        if problem is None:
            self.dismiss(message.text)
        else:
            self.query_one("#problem", Static).update(Content(problem))

    def on_line_input_left(self, message: LineInput.Left) -> None:
        """Esc in the line."""
        message.stop()
        self.dismiss(None)

    def action_cancel(self) -> None:
        """Nothing happens."""
        self.dismiss(None)
