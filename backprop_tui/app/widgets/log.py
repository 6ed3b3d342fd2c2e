"""The log of a run: newest at the bottom while following, any line while not; only changed cells are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import run as keymap
from backprop_tui.app.narrate import LogLine
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.painted import Line, Painted, ellipsis
from backprop_tui.app.widgets.panel import Panel

_LEVEL_ROLES = {"debug": "muted", "info": "muted", "warn": "warn", "error": "bad"}


class LogView(Painted, can_focus=True):
    """Lines of a model's log. Scrolling up stops following; End or `f` begins again."""

    DEFAULT_CSS = "LogView { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(action for action in keymap.ACTIONS if action.scope == "log"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.follow = True
        self._model: RunModel | None = None
        self._shown = 0
        self._top = 0

    def show(self, model: RunModel) -> None:
        """Bring it up to date; lines come in batches, as often as the screen asks."""
        if model is not self._model:
            self._model, self.follow, self._top = model, True, 0
        self._shown = model.dropped + len(model.log)
        self._update()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The lines in view."""
        if self._model is None or not self._model.log:
            return [((" Nothing has happened yet.", "muted"),)]
        lines = list(self._model.log)
        last = max(0, len(lines) - height)
        first = last if self.follow else min(max(0, self._top - self._model.dropped), last)
        return [self._line(line, width) for line in lines[first : first + height]]

    def set_follow(self, follow: bool) -> None:
        """Keep showing the newest, or stay."""
        if self._model is not None and not follow and self.follow:
            self._top = self._last_top()
        self.follow = follow
        self._update()

    def action_move(self, by: int) -> None:
        """Scroll by lines."""
        if self._model is None:
            return
        last = self._last_top()
        top = (last if self.follow else self._top) + by
        self._top = min(max(self._model.dropped, top), last)
        self.follow = self._top >= last
        self._update()

    def action_page(self, by: int) -> None:
        """Scroll by views."""
        self.action_move(by * max(1, self.content_size.height - 1))

    def action_top(self) -> None:
        """The oldest line."""
        self.action_move(-self._last_top() - 1)

    def action_bottom(self) -> None:
        """The newest line."""
        self.set_follow(True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls."""
        event.stop()
        self.action_move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls."""
        event.stop()
        self.action_move(3)

    def _last_top(self) -> int:
        if self._model is None:
            return 0
        # Counted afresh: lines may have come since they were last shown.
        dropped = self._model.dropped
        return max(dropped, dropped + len(self._model.log) - self.content_size.height)

    def _update(self) -> None:
        panel = self.parent
        if isinstance(panel, Panel):
            glyphs = glyphs_of(self)
            facts = f"follow {glyphs.follow}" if self.follow else "f follow"
            panel.label(facts=((facts, "live" if self.follow else "warn"),), foot=f"{self._shown:,} lines")
        self.repaint()

    def _line(self, line: LogLine, width: int) -> Line:
        role = _LEVEL_ROLES.get(line.level, "muted")
        room = max(0, width - 17)
        text = ellipsis(line.text, room, glyphs_of(self).ellipsis)
        text_role = role if line.level in ("warn", "error") else "text"
        return (f" {wording.clock(line.wall, seconds=True)} ", "muted"), (f"{line.level:<5}  ", role), (text, text_role)
