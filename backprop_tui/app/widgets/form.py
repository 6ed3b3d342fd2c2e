"""`Form`: settings in sections with in-place editing. It shows and asks; what a value may be is decided by whoever listens.

One column, or two where it is wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.geometry import Offset
from textual.message import Message

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import tune
from backprop_tui.app.spots import Spot
from backprop_tui.app.widgets.form_fields import TITLE_WIDTH, FormField, FormLine, lay_out, paint_field
from backprop_tui.app.widgets.lineinput import LineInput
from backprop_tui.app.widgets.lines import Line, LineView

#: From this width on fields stand in two columns, without section titles.
TWO_COLUMNS = 72


class FormLines(LineView):
    """The painted fields and the keys that move between them."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(tune.FORM)

    def __init__(self) -> None:
        super().__init__(id="form-lines")
        self.fields: tuple[FormField, ...] = ()
        self.more = ""
        self.cursor = 0
        self._lines: list[FormLine] = []
        self._columns = 0

    @property
    def line_count(self) -> int:
        """Lines in the present arrangement."""
        return len(self._lines)

    @property
    def stops(self) -> int:
        """Places the cursor can be: every field, and the line that opens the rest."""
        return len(self.fields) + bool(self.more)

    @property
    def current(self) -> FormField | None:
        """The field under the cursor; None on the last line."""
        return self.fields[self.cursor] if self.cursor < len(self.fields) else None

    def show(self, fields: Sequence[FormField], more: str) -> None:
        """Other values or other fields; only lines that differ are repainted."""
        here = self.current
        before, self.fields = self.fields, tuple(fields)
        if here is not None:
            # Fields that come and go above the cursor leave it where it is.
            self.cursor = next((at for at, field in enumerate(fields) if field.key == here.key), self.cursor)
        same = self.more == more and [(f.key, f.section) for f in before] == [(f.key, f.section) for f in fields]
        self.more = more
        self.cursor = max(0, min(self.cursor, self.stops - 1))
        if not same or not self._lines:
            self._arrange()
            # The scroll range is the new one only after the next layout.
            self.call_after_refresh(lambda: self.reveal(self._line_of(self.cursor)))
            return
        for index, (old, new) in enumerate(zip(before, self.fields, strict=True)):
            if old != new:
                self.repaint_line(self._line_of(index))

    def place(self, index: int) -> tuple[int, int, int]:
        """Where a field's value is painted: (x, scrolling line, cells)."""
        width = self._column_width(self.size.width)
        line = self._line_of(index)
        column = self._lines[line].fields.index(index) if self._columns == 2 else 0
        indent = self._indent
        return column * width + indent + TITLE_WIDTH + 1, line, width - indent - TITLE_WIDTH - 3

    def go(self, index: int) -> None:
        """Put the cursor on a stop."""
        index = max(0, min(index, self.stops - 1))
        before, self.cursor = self.cursor, index
        for stop in {before, index}:
            self.repaint_line(self._line_of(stop))
        line = self._line_of(index)
        self.reveal(0 if line <= 1 else line)
        if before != index:
            self.post_message(Form.Moved(self.current))

    def action_move(self, by: int) -> None:
        """Next or previous stop."""
        self.go(self.cursor + by)

    def action_edge(self, direction: int) -> None:
        """First stop (-1) or last (1)."""
        self.go(0 if direction < 0 else self.stops - 1)

    def action_page(self, direction: int) -> None:
        """Half a view of stops."""
        self.go(self.cursor + direction * max(1, self.body_height // 2) * max(1, self._columns))

    def action_nudge(self, direction: int) -> None:
        """Ask for the next value up or down."""
        field = self.current
        if field is not None:
            self.post_message(Form.Nudged(field, direction))

    def action_edit(self) -> None:
        """Ask for an edit, or open the rest."""
        self.post_message(Form.Asked(self.current))

    def spots(self) -> list[Spot]:
        """The fields in view, for jump mode."""
        width = self._column_width(self.size.width)
        return [
            Spot(column * width, line - self.top, partial(self.go, number))
            for line in range(self.top, min(len(self._lines), self.top + self.body_height))
            for column, number in enumerate(self._lines[line].fields)
        ]

    def on_resize(self, event: events.Resize) -> None:
        """One or two columns."""
        self._arrange()

    def on_focus(self) -> None:
        """The cursor's bar shows the focus."""
        self.repaint_line(self._line_of(self.cursor))

    def on_blur(self) -> None:
        """The cursor's bar shows the focus."""
        self.repaint_line(self._line_of(self.cursor))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a click on the field under it edits."""
        index = event.y + self.top
        if not 0 <= index < len(self._lines):
            return
        line = self._lines[index]
        if line.kind == "more":
            self.go(self.stops - 1)
            self.action_edit()
        elif line.fields:
            column = min(event.x // max(1, self._column_width(self.size.width)), len(line.fields) - 1)
            target = line.fields[column]
            if target == self.cursor:
                self.action_edit()
            else:
                self.go(target)

    def line(self, index: int, width: int) -> Line:
        """A section's title, one or two fields, or the line that opens the rest."""
        entry = self._lines[index]
        if entry.kind == "section":
            return [("  " + entry.title, "strong")]
        if entry.kind == "more":
            here = self.cursor >= len(self.fields)
            return [
                (self._bar(here), self._bar_tone),
                (f"{' ' * (self._indent - 2)}{entry.title}", "strong" if here else "muted"),
            ]
        pieces: list[tuple[str, str]] = []
        for number in entry.fields:
            pieces += self._field(number, self._column_width(width))
        return pieces

    @property
    def _indent(self) -> int:
        return 6 if self._columns == 1 else 4

    @property
    def _bar_tone(self) -> str:
        return "focus" if self.has_focus else "muted"

    def _bar(self, here: bool) -> str:
        return f"{glyphs_of(self).cursor} " if here else "  "

    def _column_width(self, width: int) -> int:
        return width // 2 if self._columns == 2 else width

    def _field(self, number: int, width: int) -> Line:
        here = number == self.cursor
        painted = paint_field(self.fields[number], width, self._indent, glyphs_of(self), here=here)
        return [(self._bar(here), self._bar_tone), *painted]

    def _arrange(self) -> None:
        self._columns = 2 if self.size.width >= TWO_COLUMNS else 1
        self._lines = lay_out(self.fields, self._columns, self.more)
        self.relayout()

    def _line_of(self, stop: int) -> int:
        if stop >= len(self.fields):
            return len(self._lines) - 1
        return next((i for i, line in enumerate(self._lines) if stop in line.fields), 0)


class Form(Container):
    """Fields, and the line that edits one in place."""

    DEFAULT_CSS = """
    Form {
        layers: fields edit;
        height: 1fr;
        & > FormLines { layer: fields; }
        & > LineInput { layer: edit; position: absolute; display: none; }
    }
    """

    @dataclass
    class Moved(Message):
        """The cursor is on another field; None is the line that opens the rest."""

        field: FormField | None

    @dataclass
    class Nudged(Message):
        """← or → on a field."""

        field: FormField
        direction: int

    @dataclass
    class Asked(Message):
        """Enter on a field; None is the line that opens the rest. Answer with `edit` or a picker."""

        field: FormField | None

    @dataclass
    class Entered(Message):
        """A text was typed for a field. Answer with `close_edit` when it was taken; else it stays open."""

        form: Form
        field: FormField
        text: str

    @dataclass
    class Dropped(Message):
        """An edit was given up."""

        field: FormField

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines = FormLines()
        self.input = LineInput(id="form-edit")
        self._editing: FormField | None = None

    def compose(self) -> ComposeResult:
        """The fields and, above them when needed, the edit line."""
        yield self.lines
        yield self.input

    @property
    def editing(self) -> FormField | None:
        """The field being typed into."""
        return self._editing

    def show(self, fields: Sequence[FormField], more: str = "") -> None:
        """Bring the fields up to date."""
        self.lines.show(fields, more)

    def go_to(self, key: str) -> bool:
        """Put the cursor on a field by key."""
        for index, field in enumerate(self.lines.fields):
            if field.key == key:
                self.lines.go(index)
                return True
        return False

    def edit(self, field: FormField) -> None:
        """Open the edit line over a field's value."""
        if not self.go_to(field.key):
            return
        self._editing = field
        self.input.value = field.edit
        self.input.cursor_position = len(field.edit)
        self._place_edit()
        self.input.display = True
        # At once: what is typed ahead must not act as keys of the form.
        self.screen.set_focus(self.input)

    def _place_edit(self) -> None:
        x, line, cells = self.lines.place(self.lines.cursor)
        self.input.styles.width = max(8, cells)
        self.input.offset = Offset(x, line - self.lines.top)

    def close_edit(self) -> None:
        """The text was taken or given up."""
        self._editing = None
        self.input.display = False
        self.screen.set_focus(self.lines)

    def on_line_input_accepted(self, message: LineInput.Accepted) -> None:
        """Hand over what was typed."""
        message.stop()
        if self._editing is not None:
            self.post_message(self.Entered(self, self._editing, message.text))

    def on_line_input_left(self, message: LineInput.Left) -> None:
        """Esc leaves the value as it was."""
        message.stop()
        field = self._editing
        self.close_edit()
        if field is not None:
            self.post_message(self.Dropped(field))

    def on_resize(self, event: events.Resize) -> None:
        """The edit line moves with its field; what was typed so far stays."""
        if self._editing is not None:
            self._place_edit()
