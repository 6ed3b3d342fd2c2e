"""A titled part of a screen. Wide: a round border with title and facts in it; narrower: one rule line above the content."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.widgets.painted import Inked, Line, Piece, changed_spans, ellipsis, fit, readable, width_of


class Panel(Inked):
    """A container that draws its own frame, so that facts can change in the border for a few bytes.

    Args:
        title: our words; foreign text must be `safe_text`. children: what the panel holds.
        facts: shown at the right of the title line. foot: shown at the right of the bottom border (wide only).
    """

    DEFAULT_CSS = """
    Panel { layout: vertical; padding: 1 0 0 0; height: 1fr; }
    """

    def __init__(
        self, title: str, *children: Widget, facts: str | Iterable[Piece] = "", foot: str = "",
        id: str | None = None, classes: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(id=id, classes=classes)
        self._inner = children
        self._title = title
        self._facts = _pieces(facts)
        self._foot = _pieces(foot)
        self._place = ""

    def compose(self) -> ComposeResult:
        """The children given."""
        yield from self._inner

    @property
    def title(self) -> str:
        """What the panel is called."""
        return self._title

    def label(
        self, *, title: str | None = None, facts: str | Iterable[Piece] | None = None,
        foot: str | Iterable[Piece] | None = None, place: str | None = None,
    ) -> None:  # fmt: skip
        """Change the words of the frame; only what differs is sent. `place` is `2/4` when panels are shown one by one."""
        old = self._top(self.outer_size.width), self._bottom(self.outer_size.width)
        if title is not None:
            self._title = title
        if facts is not None:
            self._facts = _pieces(facts)
        if foot is not None:
            self._foot = _pieces(foot)
        if place is not None:
            self._place = place
        width, height = self.outer_size
        if not self.is_mounted or not width:
            return
        new = self._top(width), self._bottom(width)
        rows = (0, height - 1) if self.framed else (0,)
        spans = [
            Region(start, y, end - start, 1)
            for y, before, after in zip(rows, old, new, strict=False)
            if before != after
            for start, end in changed_spans(before, after, width)
        ]
        if spans:
            self._refresh_cells(spans)

    @property
    def framed(self) -> bool:
        """Whether there is room for a box."""
        return self.screen.has_class("-wide")

    def render_lines(self, crop: Region) -> list[Strip]:
        """The frame; children are drawn over its inside."""
        width, height = self.outer_size
        signs = glyphs_of(self)
        edge = "focus" if self.has_focus_within else "frame"
        framed = self.framed
        side: Line = ((signs.frame[5], edge), (" " * (width - 2), "text"), (signs.frame[5], edge))
        middle: Line = side if framed else ((" " * width, "text"),)
        strips: list[Strip] = []
        for y in range(crop.y, crop.bottom):
            if 0 < y < height - framed:
                if strips and y > max(1, crop.y):
                    strips.append(strips[-1])
                    continue
                line = middle
            else:
                line = self._top(width) if y == 0 else self._bottom(width)
            strip = Strip([Segment(text, self.ink(role)) for text, role in fit(readable(self, line), width)], width)
            strips.append(strip.crop(crop.x, crop.right))
        return self.with_marks(strips, crop)

    def _top(self, width: int) -> Line:
        if width < 4:
            return fit((), max(0, width))
        signs = glyphs_of(self)
        focused = self.has_focus_within
        edge = "focus" if focused else "frame"
        left, right = (signs.frame[0], signs.frame[1]) if self.framed else ("", "")
        across = signs.frame[4]
        mark = signs.focus if focused else ("" if self.framed else across)
        words = f"{self._title} {self._place}".rstrip()
        name: Line = (
            (f"{left}{mark}", edge),
            (f" {ellipsis(words, max(1, width - 6), signs.ellipsis)} ", "focus" if focused else "strong"),
        )
        tail: Line = ((across + right, edge),)
        facts: Line = ((" ", edge), *self._facts, (" ", edge)) if self._facts else ()
        rest = width - width_of(name) - width_of(tail)
        if width_of(facts) > rest - 1:
            facts = fit(facts, rest - 1) if rest > 12 else ()
        return (*name, (across * (rest - width_of(facts)), edge), *facts, *tail)

    def _bottom(self, width: int) -> Line:
        signs = glyphs_of(self)
        edge = "focus" if self.has_focus_within else "frame"
        foot: Line = ((" ", edge), *self._foot, (" ", edge)) if self._foot else ()
        if width_of(foot) > width - 4:
            foot = ()
        filler = signs.frame[4] * max(0, width - 3 - width_of(foot))
        return ((signs.frame[3] + filler, edge), *foot, (signs.frame[4] + signs.frame[2], edge))

    def _on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._refresh_frame()

    def _on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.call_later(self._refresh_frame)

    def _refresh_frame(self) -> None:
        width, height = self.outer_size
        regions = [Region(0, 0, width, 1)]
        if self.framed:
            regions += [Region(0, 0, 1, height), Region(width - 1, 0, 1, height), Region(0, height - 1, width, 1)]
        self._refresh_cells(regions)

    def _refresh_cells(self, regions: Iterable[Region]) -> None:
        """Refresh cells counted from the panel's own corner; Textual counts them from its content's."""
        inwards = self.content_offset
        self.refresh(*(region.translate((-inwards.x, -inwards.y)) for region in regions))


def _pieces(words: str | Iterable[Piece]) -> Line:
    if isinstance(words, str):
        return ((words, "muted"),) if words else ()
    return tuple(words)
