"""Moving about in the log: by lines, by views, to the ends, with the wheel. Moving up stops following."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import BindingType

from backprop_tui.app.actions import bindings
from backprop_tui.app.keymap import moves
from backprop_tui.app.widgets.lines import moves_away
from backprop_tui.app.widgets.log_base import LogBase


class LogMoves(LogBase):
    """The chosen line and the lines in view, moved by keys and wheel; past the newest line following begins again."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(moves.LINES)

    def set_follow(self, follow: bool) -> None:
        """Keep showing the newest, or stay."""
        if follow == self.follow and not follow:
            return
        if follow:
            self.follow, self.range_from = True, None
        else:
            self._stay()
        self.refresh_lines()
        self.update()

    def place(self, number: int) -> None:
        """Choose a line and bring it into the middle of the view unless it is in view."""
        if not self.total and self._window is not None:
            return
        self.follow = False
        self.cursor = max(0, number)
        height = max(1, self.content_size.height)
        if not self._top <= self.cursor < self._top + height:
            self._top = max(0, self.cursor - height // 2)
        self._clamp()
        self._need()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The letter for the first line gives way to the room's own meaning of it."""
        return action != "top_letter" or not moves_away(self, moves.TOP)

    def action_move(self, by: int) -> None:
        """Move the chosen line; past the last one following begins again."""
        if not self.total:
            return
        if by > 0 and (self.follow or self.cursor + by >= self.total):
            self.set_follow(True)
            return
        self._stay()
        if self.cursor + by < 0 and not self._whole:
            self.walk_then(lambda: self.action_move(by))
            return
        self.cursor = max(0, self.cursor + by)
        self._reveal()
        self._need()

    def action_page(self, by: int) -> None:
        """Move the view and the chosen line by a view."""
        if not self.total:
            return
        step = by * max(1, self.content_size.height - 1)
        if by > 0 and (self.follow or self._top + step > self.total - self.content_size.height):
            self.set_follow(True)
            return
        self._stay()
        if self._top + step < 0 and not self._whole:
            self.walk_then(lambda: self.action_page(by))
            return
        self._top += step
        self.cursor += step
        self._clamp()
        self._reveal()
        self._need()

    def action_edge(self, direction: int) -> None:
        """The oldest line (-1), or the newest and following (1)."""
        if direction > 0:
            self.set_follow(True)
        else:
            self.walk_then(self._to_first)

    def action_top_letter(self) -> None:
        """The oldest line."""
        self.action_edge(-1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls."""
        event.stop()
        self._scroll(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls."""
        event.stop()
        self._scroll(3)

    def on_resize(self, event: events.Resize) -> None:
        """Another height shows other lines."""
        self.refresh_lines()

    def _to_first(self) -> None:
        self._stay()
        self.cursor = self._top = 0
        self._need()

    def _scroll(self, by: int) -> None:
        height = self.content_size.height
        if by > 0 and (self.follow or self._top + by > self.total - height):
            self.set_follow(True)
            return
        self._stay()
        self._top = max(0, self._top + by)
        self.cursor = min(max(self.cursor, self._top), self._top + height - 1)
        self._need()

    def _stay(self) -> None:
        """Stop following at the view as it is."""
        if self.follow:
            self.follow = False
            self._seen = self.total
            self.cursor = max(0, self.total - 1)
            self._top = max(0, self.total - self.content_size.height)

    def _need(self) -> None:
        """Paint, and fetch when what is in view was not fetched yet."""
        self.update()
        window = self._window
        last = min(self.total, self._top + self.content_size.height) - 1
        if window is None or window.row(self._top) is None or window.row(last) is None:
            self.refresh_lines()
