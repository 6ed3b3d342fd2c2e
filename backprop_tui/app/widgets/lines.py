"""`LineView`: a focusable, scrolling widget that paints one line at a time and repaints only the lines that changed.

Tables, forms and previews build on it. A line is a list of `(text, tone)` pieces; a tone is a role of the theme ("good",
"muted"), or several, that the theme turns into a style, so no widget names a colour. Every piece is literal text: it is
made harmless here once more and never parsed for markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from backprop_tui.app.actions import Action, bindings
from backprop_tui.app.keymap import moves
from backprop_tui.app.widgets.painted import Inked, readable
from backprop_tui.protocol.text import safe_text

#: One painted line: literal text and what it means.
Line: TypeAlias = Sequence[tuple[str, str]]


def fit(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """`text` in exactly `width` terminal cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    text = safe_text(text)
    have = cell_len(text)
    if have > width:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * (width - have) + text if align == "right" else text + " " * (width - have)


def fit_middle(text: str, width: int) -> str:
    """Like `fit`, cutting the middle, for paths and ids whose two ends matter."""
    text = safe_text(text)
    if cell_len(text) <= width or width < 8:
        return fit(text, width)
    tail = (width - 1) // 2
    end = text[-tail:]
    return fit(f"{set_cell_size(text, width - 1 - cell_len(end))}…{end}", width)


def wrap(text: str, width: int) -> list[str]:
    """`text` broken at blanks into lines of at most `width` cells; a longer word is cut. No text is one empty line."""
    if width <= 0:
        return []
    lines: list[str] = []
    line = ""
    for word in safe_text(text).split(" "):
        candidate = f"{line} {word}" if line else word
        if cell_len(candidate) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        while cell_len(word) > width:
            head = set_cell_size(word, width).rstrip()
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [*lines, line]


def moves_away(widget: Widget, action: Action) -> bool:
    """Whether something around a focused widget has a meaning of its own for a key of an action of the widget's."""
    keys = [
        key
        for node, found in widget.screen._modal_binding_chain
        if node is widget
        for key, bound in found.key_to_bindings.items()
        if any(binding.id == action.id for binding in bound)
    ]
    return any(
        key in found.key_to_bindings
        for node, found in widget.screen._modal_binding_chain
        if node is not widget
        for key in keys
    )


class LineView(Inked, ScrollView, can_focus=True):
    """Base of the widgets that own their lines. Subclasses give `line_count`, `line` and, if any, fixed `header` lines."""

    DEFAULT_CSS = """
    LineView {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings(moves.LINES)

    #: Lines at the top that stay while the rest scrolls.
    header_lines: int = 0

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._tones: dict[str, Style] = {}

    @property
    def line_count(self) -> int:
        """Scrolling lines there are."""
        raise NotImplementedError

    def line(self, index: int, width: int) -> Line:
        """The pieces of one scrolling line, at most `width` cells."""
        raise NotImplementedError

    def header(self, y: int, width: int) -> Line:
        """The pieces of one fixed line."""
        return []

    @property
    def body_height(self) -> int:
        """Scrolling lines that fit."""
        return max(1, self.size.height - self.header_lines)

    @property
    def top(self) -> int:
        """Index of the first scrolling line in view."""
        return int(self.scroll_offset.y)

    def relayout(self) -> None:
        """The number of lines changed: set the scroll range anew and repaint everything."""
        self.virtual_size = Size(0, self.line_count + self.header_lines)
        self.refresh()

    def repaint_line(self, index: int) -> None:
        """Repaint one scrolling line if it is in view."""
        y = index - self.top + self.header_lines
        if self.header_lines <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def repaint_header(self) -> None:
        """Repaint the fixed lines."""
        if self.header_lines:
            self.refresh(Region(0, 0, self.size.width, self.header_lines))

    def reveal(self, index: int) -> None:
        """Scroll as little as needed to bring a line into view."""
        if index < self.top:
            self.scroll_to(y=index, animate=False)
        elif index >= self.top + self.body_height:
            self.scroll_to(y=index - self.body_height + 1, animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The letter for the first line gives way to the room's own meaning of it."""
        return action != "top_letter" or not moves_away(self, moves.TOP)

    def action_move(self, by: int) -> None:
        """Scroll by lines. Lists move their cursor instead."""
        self.scroll_to(y=self.top + by, animate=False)

    def action_page(self, direction: int) -> None:
        """Move by one view."""
        self.scroll_to(y=self.top + direction * self.body_height, animate=False)

    def action_edge(self, direction: int) -> None:
        """To the first line (-1) or the last (1)."""
        self.scroll_to(y=0 if direction < 0 else self.line_count, animate=False)

    def action_top_letter(self) -> None:
        """To the first line."""
        self.action_edge(-1)

    def on_resize(self, event: events.Resize) -> None:
        """The range of scrolling depends on the height."""
        self.relayout()

    def tone(self, name: str) -> Style:
        """The theme's style for a tone; tones may be joined as in "strong good", the later one's colour winning."""
        found = self._tones.get(name)
        if found is None:
            found = Style()
            for part in name.split():
                whole = self.ink(part)
                found += Style(
                    color=whole.color,
                    bgcolor=whole.bgcolor if part == "cursor" else None,
                    bold=whole.bold or None,
                    dim=whole.dim or None,
                    underline=whole.underline or None,
                    reverse=whole.reverse or None,
                )
            self._tones[name] = found
        return found

    def notify_style_update(self) -> None:
        """Another theme: the remembered styles are void."""
        self._tones.clear()
        super().notify_style_update()

    def strip_of(self, pieces: Line) -> Strip:
        """Pieces as cells, cut or filled to the widget's width."""
        base = self.rich_style
        shown = readable(self, ((safe_text(text), tone) for text, tone in pieces if text))
        segments = [Segment(text, base + self.tone(tone)) for text, tone in shown]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def render_line(self, y: int) -> Strip:
        """One line of the widget, in cells."""
        if y < self.header_lines:
            return self.strip_of(self.header(y, self.size.width))
        index = y - self.header_lines + self.top
        return self.strip_of(self.line(index, self.size.width) if index < self.line_count else [])
