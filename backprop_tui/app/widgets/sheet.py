"""`Sheet`: a few painted lines of facts, made by a function of the room there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backprop_tui.app.widgets.painted import Line, Painted

Builder = Callable[[int, int], Sequence[Line]]


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
