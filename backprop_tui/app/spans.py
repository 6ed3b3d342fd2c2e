"""Only the cells that changed go to the terminal.

Of a changed region Textual sends the whole line from the widget's left edge on, so that a digit at the right end of a table
costs the row before it. Here a line begins where the change begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.app import App

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from textual.screen import Screen
    from textual.strip import Strip


class SpanUpdate(ChopsUpdate):
    """The same changes as a `ChopsUpdate`, cut at both ends."""

    def render_segments(self, console: Console) -> str:
        """The bytes: where each span begins, and its cells; what follows on directly needs no new place."""
        sequences: list[str] = []
        here = (-1, -1)
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(x, x1), min(end, x2)
                if strip is None or first >= last:
                    continue
                if first != x or last != end:
                    start, stop = whole_cells(strip, first - x, last - x)
                    first, last, strip = x + start, x + stop, strip.crop(start, stop)
                if here != (first, y):
                    sequences.append(Control.move_to(first, y).segment.text)
                sequences.append(strip.render(console))
                here = (last, y)
        return "".join(sequences)


def whole_cells(strip: Strip, start: int, stop: int) -> tuple[int, int]:
    """A range of cells widened where it would cut a character of two cells in half: half of one erases the other half."""
    at = 0
    for segment in strip:
        length = segment.cell_length
        if at < stop and at + length > start and not segment.text.isascii():
            place = at
            for character in segment.text:
                after = place + cell_len(character)
                if place < start < after:
                    start = place
                if place < stop < after:
                    stop = after
                place = after
        at += length
    return start, stop


class SpanApp(App[None]):
    """An app that sends spans."""

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = SpanUpdate(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)
