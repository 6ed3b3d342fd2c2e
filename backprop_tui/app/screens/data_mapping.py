"""The editor of a mapping: the row's columns, what each is, and the row as it would be read, while it is typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from backprop_tui.app.widgets.lineinput import LineInput
from backprop_tui.app.widgets.lines import Line, wrap
from backprop_tui.app.widgets.sheet import LongSheet
from backprop_tui.app.widgets.turns import meaning_lines
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

_MOST_COLUMNS = 40
_CELL = 60
_HELP = (
    "Which column is what, such as  user=question assistant=answer.  Also system, text, prompt, completion, chosen, "
    "rejected, label, messages, tools;  a+b joins two columns.  Empty goes by the columns' names."
)


class MappingModal(ModalScreen[str | None]):
    """Ask for a mapping. The result is its text, empty to clear it, or None when nothing is to change.

    Args:
        row: a row as it stands in the file. columns: the mapping there is; where there is none, one is suggested.
        format: the format rows are read in, beside which a mapping may have no place.
    """

    DEFAULT_CSS = """
    MappingModal {
        align: center middle; background: $background 60%;
        & > #box {
            width: 100; max-width: 96%; height: auto; max-height: 94%; background: $surface;
            border: round $primary; padding: 0 1; border-title-color: $foreground; border-title-style: bold;
        }
        & #body { width: 1fr; height: auto; padding: 0 1; }
        & #columns { width: 1fr; height: 6; }
        & LineInput { width: 1fr; margin: 1 1; }
        & #read { width: 1fr; height: 10; }
    }
    MappingModal.-short #columns, MappingModal.-low #columns { height: 3; }
    MappingModal.-short #read, MappingModal.-low #read { height: 4; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-low"), (24, "-mid"), (36, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", show=False),
        Binding("down,pagedown", "scroll(1)", "Down", show=False),
        Binding("up,pageup", "scroll(-1)", "Up", show=False),
    ]
    AUTO_FOCUS = "LineInput"

    def __init__(self, row: Mapping[str, Any], columns: str, format: str) -> None:
        super().__init__()
        self._row = dict(row)
        self._columns = columns
        self._format = format
        self._problem: str | None = None

    def compose(self) -> ComposeResult:
        """Help, the columns, the mapping, and the row as it would be read."""
        from backprop_tui.data.formats import suggest_columns

        with Vertical(id="box") as box:
            box.border_title = Content("Mapping")
            box.border_subtitle = Content("Enter accept · Esc cancel")
            yield Static(Content(_HELP), id="body")
            yield LongSheet(id="columns")
            yield LineInput(self._columns or suggest_columns(self._row), placeholder="user=question assistant=answer")
            yield LongSheet(id="read")

    def on_mount(self) -> None:
        """Show what there is."""
        for sheet in self.query(LongSheet):
            sheet.can_focus = False
        self.query_one("#columns", LongSheet).show(self._column_lines)
        self._read(self.query_one(LineInput).value)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Read the row anew while typing."""
        message.stop()
        self._read(message.value)

    def on_line_input_accepted(self, message: LineInput.Accepted) -> None:
        """Close when the mapping is one and fits the row."""
        message.stop()
        self._read(message.text)
        if self._problem is None:
            self.dismiss(message.text)

    def on_line_input_left(self, message: LineInput.Left) -> None:
        """Esc in the line."""
        message.stop()
        self.dismiss(None)

    def action_cancel(self) -> None:
        """Nothing happens."""
        self.dismiss(None)

    def action_scroll(self, by: int) -> None:
        """Scroll the row that is read."""
        self.query_one("#read", LongSheet).action_page(by)

    def _column_lines(self, width: int) -> Sequence[Line]:
        names = list(self._row)[:_MOST_COLUMNS]
        room = max((len(safe_text(name, limit=24)) for name in names), default=0)
        lines: list[Line] = []
        for name in names:
            cell = self._row[name]
            words = safe_text(cell, limit=max(8, min(_CELL, width - room - 4)))
            tone = "text" if isinstance(cell, str) else "muted"
            lines.append(((safe_text(name, limit=24).ljust(room + 2), "strong"), (words, tone)))
        if len(self._row) > len(names):
            lines.append(((f"and {len(self._row) - len(names):,} more", "muted"),))
        return lines

    def _read(self, text: str) -> None:
        from backprop_tui.data.formats import Normalised, row_reader

        self._problem = None
        row: Normalised | None = None
        problem: BackpropError | None = None
        try:
            row = row_reader(self._format, text)(self._row)[1]
        except BackpropError as error:
            problem = error
            # Clearing the mapping is always possible, whatever the names of the columns then give.
            self._problem = error.cause if text.strip() else None

        def lines(width: int) -> Sequence[Line]:
            if problem is None and row is not None:
                return meaning_lines(row, width)
            assert problem is not None
            shown: list[Line] = [((line, "warn"),) for line in wrap(f"! {problem.cause} ({problem.code})", width)]
            return [*shown, *[((line, "muted"),) for line in wrap(problem.next_step, width)]]

        self.query_one("#read", LongSheet).show(lines)
