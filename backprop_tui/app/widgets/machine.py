"""The machine under the run: every GPU in the room there is, else the reason in words, and the host. Zoomed: in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import BindingType

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.keymap import machine as keymap
from backprop_tui.app.keymap import moves
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.machine_detail import gpu_detail, host_detail, host_lines, host_row
from backprop_tui.app.widgets.machine_grid import ROW, ROW_WIDE, SMALL, Look, arranged, grid, strip
from backprop_tui.app.widgets.machine_words import missing_words, trouble
from backprop_tui.app.widgets.painted import Line, Painted, fit
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.text import safe_text

#: Columns from which the host stands beside a card's detail.
_TWO = 110


class Machine(Painted, can_focus=True):
    """Gauges of the newest telemetry; `Enter` goes into detail and back."""

    DEFAULT_CSS = "Machine { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(keymap.ACTIONS),
        *bindings(action for action in moves.LINES if action is not moves.TOP),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._model: RunModel | None = None
        self._detail = False
        self._card = 0
        self._top = 0

    def show(self, model: RunModel) -> None:
        """Bring it up to date."""
        if model is not self._model:
            self._model, self._card, self._top = model, 0, 0
        telemetry = model.view.telemetry
        gpus = telemetry.get("gpus") or []
        panel = self.parent
        if isinstance(panel, Panel):
            now = model.view.updated if model.state.live else telemetry.get("wall")
            worst = trouble(telemetry, now)
            panel.label(
                title=("gpu" if len(gpus) == 1 else f"gpus {len(gpus)}") if gpus else "machine",
                facts=(worst,) if worst else ("nvml" if gpus else ""),
                foot=missing_words(gpus),
            )
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """As much detail as fits."""
        if self._model is None or not self._model.view.telemetry:
            return [((" No reading yet.", "muted"),)] if height else []
        glyphs = glyphs_of(self)
        if not self.detailed:
            return machine_lines(self._model, width, height, glyphs)
        head, body = detail_lines(self._model, width, height, glyphs, self._card)
        room = max(1, height - len(head))
        self._top = max(0, min(self._top, len(body) - room))
        lines = [*head, *body[self._top : self._top + room]][:height]
        if self._top + room < len(body):
            lines[-1] = ((f" PgDn: {len(body) - self._top - room + 1} more lines", "muted"),)
        return lines

    @property
    def detailed(self) -> bool:
        """Whether one card is shown in detail: asked for, or the panel fills the screen anyway."""
        return self._detail or self.screen.has_class("-zoom")

    def action_detail(self) -> None:
        """Into detail with the whole screen for it where panels share one, and back."""
        self._top = 0
        zoom = getattr(self.screen, "action_zoom_panel", None)
        if zoom is None or getattr(self.screen, "narrow", False):
            self._detail = not self._detail
        else:
            self._detail = False
            zoom()
        self.repaint()

    def action_move(self, by: int) -> None:
        """Another card; without several, scroll."""
        cards = self._cards()
        if self.detailed and cards > 1:
            self._card = (self._card + by) % cards
        else:
            self._top += by
        self.repaint()

    def action_page(self, direction: int) -> None:
        """Scroll what does not fit."""
        self._top += direction * max(1, self.content_size.height // 2)
        self.repaint()

    def action_edge(self, direction: int) -> None:
        """To the first card or the last."""
        self._card = 0 if direction < 0 else max(0, self._cards() - 1)
        self._top = 0
        self.repaint()

    def _cards(self) -> int:
        return len(self._model.view.telemetry.get("gpus") or ()) if self._model is not None else 0


def machine_lines(model: RunModel, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Lines for the newest reading: every GPU as fully as the room allows, then the host."""
    if height <= 0:
        return []
    telemetry, look = model.view.telemetry, look_of(model, glyphs)
    gpus: list[dict[str, Any]] = telemetry.get("gpus") or []
    host: dict[str, Any] = telemetry.get("host") or {}
    if gpus:
        lines, left = grid(gpus, width, height, look)
        return [*lines, *_host(host, width, left, look)]
    reason = safe_text(telemetry.get("gpu_reason") or "no GPU", limit=200)
    words: Line = ((" ", "text"), (reason, "warn"), ("  training on the CPU", "muted"))
    if height < 4:
        return [words, host_row(host, width, look)][-height:]
    return [words, (), *host_lines(host, width, look)][:height]


def detail_lines(model: RunModel, width: int, height: int, glyphs: Glyphs, card: int) -> tuple[list[Line], list[Line]]:
    """The list of cards with the chosen one marked, which stays, and the detail under it, which may scroll."""
    telemetry, look = model.view.telemetry, look_of(model, glyphs)
    gpus: list[dict[str, Any]] = telemetry.get("gpus") or []
    host: dict[str, Any] = telemetry.get("host") or {}
    if not gpus:
        reason = safe_text(telemetry.get("gpu_reason") or "no GPU", limit=200)
        return [((" ", "text"), (reason, "warn"), ("  training on the CPU", "muted")), ()], host_detail(
            host, width, look
        )
    card = min(card, len(gpus) - 1)
    head: list[Line] = []
    if len(gpus) > 1:
        head = [*_list(gpus, width, max(1, height // 3), look, card), ()]
    if width >= _TWO:
        half = width // 2
        left, right = gpu_detail(gpus[card], half, look, many=len(gpus) > 1), host_detail(host, width - half, look)
        rows = max(len(left), len(right))
        left += [()] * (rows - len(left))
        right += [()] * (rows - len(right))
        return head, [(*fit(one, half), *two) for one, two in zip(left, right, strict=True)]
    return head, [*gpu_detail(gpus[card], width, look, many=len(gpus) > 1), (), *host_detail(host, width, look)]


def look_of(model: RunModel, glyphs: Glyphs) -> Look:
    """What drawing needs of a model; ages count from the newest event, so that a past run shows what it showed."""
    return Look(model.sensors, model.view.updated, glyphs)


def _list(gpus: list[dict[str, Any]], width: int, most: int, look: Look, card: int) -> list[Line]:
    """The cards, the chosen one marked; one line where there is no room for more."""
    for cell in (ROW_WIDE, ROW, SMALL):
        columns = max(1, width // (cell.width + 3))
        if -(-len(gpus) // columns) <= most and width >= cell.width + 2:
            each = width // columns
            lines: list[Line] = []
            for start in range(0, len(gpus), columns):
                line: list[Any] = []
                for place, gpu in enumerate(gpus[start : start + columns], start):
                    mark = (look.glyphs.cursor if place == card else " ", "focus")
                    (drawn,) = arranged([gpu], cell, 1, each - 2, look)
                    line += [mark, *fit(drawn, each - 1)]
                lines.append(tuple(line))
            return lines
    return [(*fit(strip(gpus, width - 8, look), width - 8), (f" GPU{gpus[card]['index']}", "focus"))]


def _host(host: dict[str, Any], width: int, height: int, look: Look) -> list[Line]:
    if height <= 0:
        return []
    if height < 3:
        return [host_row(host, width, look)]
    return host_lines(host, width, look)[:height]
