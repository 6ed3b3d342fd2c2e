"""The top line: the rooms, which one is open, and what is running where."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.message import Message

from backprop_tui.app.widgets.painted import Line, Painted, spread, width_of

#: Mode and title of every room, in the order of its digit.
ROOMS: tuple[tuple[str, str], ...] = (("data", "Data"), ("tune", "Tune"), ("run", "Run"), ("runs", "Runs"))


class Header(Painted):
    """One line; a click on a title opens that room."""

    DEFAULT_CSS = "Header { height: 1; dock: top; background: $surface; }"

    class Chosen(Message):
        """Somebody clicked the title of a room."""

        def __init__(self, room: str) -> None:
            super().__init__()
            self.room = room

    def __init__(self, room: str) -> None:
        super().__init__()
        self._room = room
        self._right: Line = ()

    def show(self, right: Line) -> None:
        """Set the facts at the right end."""
        if right != self._right:
            self._right = right
            self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The line."""
        left = tuple((text, role) for text, role, _ in self._tabs(width))
        right = self._right
        while right and width_of(left) + width_of(right) > width:
            right = right[1:]
        return [spread(left, right, width)]

    def on_click(self, event: events.Click) -> None:
        """Open the room whose title is under the pointer."""
        x = 0
        for text, _, room in self._tabs(self.size.width):
            if x <= event.x < x + cell_len(text) and room:
                self.post_message(self.Chosen(room))
                return
            x += cell_len(text)

    def _tabs(self, width: int) -> list[tuple[str, str, str]]:
        wide = width >= 110
        tabs: list[tuple[str, str, str]] = [(" backprop  ", "strong", "")] if wide else []
        for number, (room, title) in enumerate(ROOMS, start=1):
            here = room == self._room
            before, after = ("[", "]") if here else (" ", " ")
            gap = " " if wide and number < len(ROOMS) else ""
            tabs.append((f"{before}{number} {title}{after}{gap}", "focus" if here else "muted", room))
        return tabs
