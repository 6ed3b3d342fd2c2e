"""A widget that says what it looks like, line by line, and repaints only the cells that changed.

Textual sends whole dirty regions and never compares cells, so everything that changes often is a `Painted`: `paint` returns
lines of (text, role) pieces, `repaint` compares them with what is on the screen and refreshes just the differing spans.
Nothing is written when nothing changed. Pieces never pass through markup; foreign text must already be `safe_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.geometry import NULL_OFFSET, Offset, Region, Size
from textual.strip import Strip
from textual.widget import Widget

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.glyphs import to_ascii

#: Text and the role (a key of `themes.ROLES`) it is drawn in.
Piece = tuple[str, str]
Line = tuple[Piece, ...]
#: Equal cells between two changes that are cheaper to resend than to skip: a cursor move and a colour cost about this much.
_BRIDGE = 12
#: Text of one cell per character: Latin, box drawing, blocks, shapes, braille. A chart is made of these.
_NARROW = re.compile("[ -~\u00a1-\u00ac\u00ae-\u00ff\u2500-\u25fc\u2800-\u28ff]*").fullmatch
_TEXT_STYLES = frozenset({"bold", "dim", "italic", "underline", "reverse", "bold underline", "bold reverse"})


class Inked(Widget):
    """A widget that draws in roles, whose colour and style the theme decides.

    Roles are read from the theme's variables, not from component classes: with some thirty of those on every widget,
    matching style sheets would take most of the time to the first paint.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        # With links on, every mouse move over a cell boundary repaints the whole widget.
        self.auto_links = False
        self._inks: dict[str, Style] = {}
        #: Letters of jump mode over the content: by line, where and which.
        self.jump_marks: dict[int, list[tuple[int, str]]] = {}

    def ink(self, role: str) -> Style:
        """Rich style of a role over this widget's background."""
        found = self._inks.get(role)
        if found is None:
            variables = self.app.theme_variables
            style = role_style(variables.get(f"bp-{role}", ""), variables.get(f"bp-{role}-style", ""))
            if role == "cursor":
                style += role_ground(variables.get("bp-cursor-background", ""))
            found = self._inks[role] = self.rich_style + style
        return found

    def notify_style_update(self) -> None:
        """Another theme or background: the remembered styles are void."""
        self._inks.clear()
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """What the widget paints, under the letters of jump mode."""
        return self.with_marks(super().render_lines(crop), crop, self.content_offset)

    def with_marks(self, strips: list[Strip], crop: Region, offset: Offset = NULL_OFFSET) -> list[Strip]:
        """Lay the letters over painted lines; `offset` is where the content begins in them."""
        if not self.jump_marks:
            return strips
        style = self.ink("cursor") + Style(reverse=True, bold=True)
        for y, row in self.jump_marks.items():
            at = y + offset.y - crop.y
            if not 0 <= at < len(strips):
                continue
            for x, label in row:
                start = x + offset.x - crop.x
                strip = strips[at]
                if 0 <= start <= strip.cell_length - len(label):
                    letters = Strip([Segment(label, style)], len(label))
                    after = strip.crop(start + len(label))
                    strips[at] = Strip.join([strip.crop(0, start), letters, after])
        return strips


@lru_cache(maxsize=256)
def role_style(color: str, text_style: str) -> Style:
    """The style of a role from its two variables; what can't be read changes nothing."""
    return _coloured(color) + Style.parse(text_style if text_style in _TEXT_STYLES else "none")


@lru_cache(maxsize=16)
def role_ground(color: str) -> Style:
    """A background from its variable."""
    parsed = _coloured(color).color
    return Style(bgcolor=parsed)


def _coloured(color: str) -> Style:
    try:
        return Style(color=Color.parse(color).rich_color)
    except ColorParseError:
        return Style()


class Painted(Inked):
    """Base of everything we draw ourselves. Subclasses implement `paint` and call `repaint` when their facts change."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] | None = None
        self._painted_size = Size(0, 0)

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The content as at most `height` lines; longer lines are cut, shorter ones filled."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paint again and refresh the spans that differ."""
        size = self.content_size
        if not self.is_mounted or not size:
            # It may come back at the size it had: what was painted then is not what it says now.
            self._lines = None
            return
        if self._lines is None or size != self._painted_size:
            self._lines = None
            self.refresh()
            return
        lines = self._full(size)
        changed = [
            Region(start, y, end - start, 1)
            for y, (old, new) in enumerate(zip(self._lines, lines, strict=True))
            if old != new
            for start, end in changed_spans(old, new, size.width)
        ]
        self._lines = lines
        if changed:
            self.refresh(*changed)

    def forget(self) -> None:
        """What was painted is void: the signs are other ones."""
        self._lines = None

    def render_line(self, y: int) -> Strip:
        """One line of what was painted last."""
        size = self.content_size
        if self._lines is None or size != self._painted_size:
            self._lines = self._full(size)
            self._painted_size = size
        if y >= len(self._lines):
            return Strip.blank(size.width, self.rich_style)
        return Strip([Segment(text, self.ink(role)) for text, role in self._lines[y]], size.width)

    def _full(self, size: Size) -> list[Line]:
        lines = [fit(readable(self, line), size.width) for line in self.paint(size.width, size.height)[: size.height]]
        return lines + [fit((), size.width)] * (size.height - len(lines))


def readable(widget: Widget, line: Iterable[Piece]) -> Iterable[Piece]:
    """A line as the terminal can show it: in ASCII where that is all it has."""
    if glyphs_of(widget).marks != "ascii":
        return line
    return [(to_ascii(text), role) for text, role in line]


def width_of(line: Iterable[Piece]) -> int:
    """Cells a line takes."""
    return sum(cell_len(text) for text, _ in line)


def fit(line: Iterable[Piece], width: int) -> Line:
    """Cut or fill a line to exactly `width` cells."""
    fitted: list[Piece] = []
    left = width
    for text, role in line:
        if not text:
            continue
        length = cell_len(text)
        if length > left:
            if left > 0:
                fitted.append((set_cell_size(text, left), role))
            left = 0
            break
        fitted.append((text, role))
        left -= length
    if left > 0:
        fitted.append((" " * left, "text"))
    return tuple(fitted)


def ellipsis(text: str, width: int, mark: str = "…") -> str:
    """Text cut to `width` cells with a mark where something is missing."""
    if cell_len(text) <= width:
        return text
    if width <= cell_len(mark):
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - cell_len(mark)).rstrip() + mark


def spread(left: Iterable[Piece], right: Iterable[Piece], width: int) -> Line:
    """Left and right ends of one line; where both don't fit the right end goes first, then the left is cut."""
    left, right = tuple(left), tuple(right)
    room = width - width_of(right)
    if width_of(left) > room:
        return fit(left, width)
    return (*fit(left, room), *right)


def changed_spans(old: Line, new: Line, width: int) -> list[tuple[int, int]]:
    """Cell ranges `[start, end)` in which two lines of `width` cells differ, near ones joined."""
    before, after = _cells(old, width), _cells(new, width)
    spans: list[tuple[int, int]] = []
    for x in range(width):
        if before[x] == after[x]:
            continue
        if spans and x - spans[-1][1] < _BRIDGE:
            spans[-1] = (spans[-1][0], x + 1)
        else:
            spans.append((x, x + 1))
    return [_whole_characters(span, before, after) for span in spans]


def _cells(line: Line, width: int) -> list[Piece]:
    cells: list[Piece] = []
    for text, role in line:
        if text.isascii() or _NARROW(text):
            cells.extend(zip(text, repeat(role)))
            continue
        for char in text:
            length = cell_len(char)
            if length == 0:
                if cells:
                    cells[-1] = (cells[-1][0] + char, cells[-1][1])
                continue
            cells.append((char, role))
            cells.extend([("", role)] * (length - 1))
    return (cells + [(" ", "text")] * (width - len(cells)))[:width]


def _whole_characters(span: tuple[int, int], before: list[Piece], after: list[Piece]) -> tuple[int, int]:
    start, end = span
    while start > 0 and (before[start][0] == "" or after[start][0] == ""):
        start -= 1
    while end < len(before) and (before[end][0] == "" or after[end][0] == ""):
        end += 1
    return start, end
