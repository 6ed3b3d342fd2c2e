"""The list of what a run complained of: newest first, the chosen one in full below, Enter goes to where it happened."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.alerts import Alert, Alerts
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import log as keymap
from backprop_tui.app.widgets.lines import Line, LineView, fit


class AlertList(LineView):
    """One line per alert."""

    DEFAULT_CSS = "AlertList { height: 1fr; width: 1fr; }"

    def __init__(self, alerts: list[Alert]) -> None:
        super().__init__(id="alert-list")
        self.alerts = alerts
        self.selected = 0

    @property
    def line_count(self) -> int:
        """One line per alert."""
        return len(self.alerts)

    def line(self, index: int, width: int) -> Line:
        """Bar, time, step, level, sentence, how often."""
        alert, here = self.alerts[index], index == self.selected
        step = f"step {alert.step:,}" if alert.step is not None else ""
        often = f" ×{alert.count:,}" if alert.count > 1 else ""
        role = "bad" if alert.severity == "error" else "warn"
        text = f"{alert.code}: {alert.text}" if alert.code else alert.text
        # The cursor's column, times, level and step take what they need; the sentence gets the rest.
        room = max(10, width - 35 - len(often))
        return [
            (f"{glyphs_of(self).cursor} " if here else "  ", "focus"),
            (f"{_clock(alert)} ", "muted"),
            (f"{alert.severity:<6}", role),
            (f"{step:>14}  ", "muted"),
            (fit(text, room), f"strong {role}" if here else role if alert.severity == "error" else "text"),
            (often, "accent"),
        ]

    def action_move(self, by: int) -> None:
        """Choose another one."""
        before, self.selected = self.selected, max(0, min(len(self.alerts) - 1, self.selected + by))
        if before != self.selected:
            self.repaint_line(before)
            self.repaint_line(self.selected)
            self.reveal(self.selected)
            self.screen.query_one(AlertText).show(self.alerts[self.selected])

    def action_page(self, direction: int) -> None:
        """By a view."""
        self.action_move(direction * self.body_height)

    def action_edge(self, direction: int) -> None:
        """The newest (-1) or the oldest (1)."""
        self.action_move(direction * len(self.alerts))


class AlertText(Static):
    """The chosen alert in full."""

    DEFAULT_CSS = "AlertText { height: auto; max-height: 8; width: 1fr; padding: 1 2 0 2; }"

    def show(self, alert: Alert) -> None:
        """Show one."""
        words = f"{alert.code}: {alert.text}" if alert.code else alert.text
        self.update(Content(f"{words}\n{alert.next}".strip()))


class AlertsScreen(ModalScreen[Alert | None]):
    """The list over the Run screen. The result is the alert to go to, None for none.

    Args:
        alerts: what there is; it counts as seen from now on.
    """

    DEFAULT_CSS = """
    AlertsScreen {
        align: center middle;
        background: $background 60%;
        & > #box {
            width: 90%; max-width: 130; height: 80%; max-height: 34;
            background: $surface; border: round $warning; padding: 0 1;
            border-title-color: $foreground; border-title-style: bold;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings(keymap.ALERTS)
    AUTO_FOCUS = "#alert-list"

    def __init__(self, alerts: Alerts) -> None:
        super().__init__()
        self._total, self._errors = alerts.total, alerts.errors
        self._alerts = alerts.newest_first
        alerts.look()

    def compose(self) -> ComposeResult:
        """Title in the frame, the list, the chosen one in full."""
        with Vertical(id="box") as box:
            box.border_title = Content(f"alerts  {self._total:,}  errors {self._errors:,}")
            box.border_subtitle = Content("Enter go there · Esc close")
            yield AlertList(self._alerts)
            yield AlertText()

    def on_mount(self) -> None:
        """The newest one in full."""
        if self._alerts:
            self.query_one(AlertText).show(self._alerts[0])

    def action_choose(self) -> None:
        """Go there."""
        chosen = self.query_one(AlertList).selected
        self.dismiss(self._alerts[chosen] if chosen < len(self._alerts) else None)

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)


def _clock(alert: Alert) -> str:
    return f"{wording.clock(alert.wall, seconds=True) if alert.wall == alert.wall else wording.UNKNOWN:<8}"
