"""`Sheet` and `LongSheet`: painted lines of facts, made by a function of the room there is; the long one scrolls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events

from backprop_tui.app.widgets.lines import Line as LongLine
from backprop_tui.app.widgets.lines import LineView
from backprop_tui.app.widgets.painted import Line, Painted

Builder = Callable[[int, int], Sequence[Line]]
LongBuilder = Callable[[int], Sequence[LongLine]]
#: Narrower than this nothing can be read.
_LEAST = 6


class Sheet(Painted):
    """Shows what its builder returns for (width, height); only cells that differ are sent. No I/O in builders."""

    DEFAULT_CSS = "Sheet { height: 1fr; padding: 0 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build: Builder = _nothing

    def show(self, build: Builder) -> None:
        """Other facts."""
        self._build = build
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The facts."""
        return self._build(width, height)


def _nothing(width: int, height: int) -> Sequence[Line]:
    return ()


class LongSheet(LineView):
    """Shows what its builder returns for a width, indented by one cell. No I/O in builders."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build: LongBuilder = _nothing_long
        self._lines: list[LongLine] = []

    @property
    def line_count(self) -> int:
        """Lines at the present width."""
        return len(self._lines)

    def line(self, index: int, width: int) -> LongLine:
        """One of them."""
        return self._lines[index]

    def show(self, build: LongBuilder) -> None:
        """Other facts, from the top unless they say the same."""
        self._build = build
        if self._arrange():
            self.scroll_to(y=0, animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Lines depend on the width."""
        self._arrange()
        self.relayout()

    def _arrange(self) -> bool:
        width = self.size.width - 2
        lines: list[LongLine] = []
        if width >= _LEAST:
            lines = [((" ", "text"), *line) for line in self._build(width)]
        if lines == self._lines:
            return False
        self._lines = lines
        self.relayout()
        return True


def _nothing_long(width: int) -> Sequence[LongLine]:
    return ()
