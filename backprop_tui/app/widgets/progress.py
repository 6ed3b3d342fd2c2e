"""The line under the header: how far the run is, how fast, and when it will be done; or what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.figures_speed import moment
from backprop_tui.app.widgets.gauge import progress
from backprop_tui.app.widgets.painted import Line, Painted, Piece, width_of
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.figures import time_left, tokens_per_s
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text

_PHASES = {
    "load": "loading the model", "tokenise": "tokenising", "probe": "trying the longest rows",
    "train": "training", "eval": "evaluating", "sample": "asking the model", "save": "saving",
}  # fmt: skip


class ProgressLine(Painted):
    """One line; `show` it a model and whether it is followed live."""

    DEFAULT_CSS = "ProgressLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._model: RunModel | None = None

    def show(self, model: RunModel) -> None:
        """Bring it up to date."""
        self._model = model
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The line."""
        if self._model is None:
            return []
        glyphs = glyphs_of(self)
        left, share, right = progress_words(self._model, width, glyphs)
        room = width - width_of(left) - width_of(right) - 3
        if room < 8:
            return [(*left, (" ", "text"), *right)]
        role = "series-1" if self._model.state.live else ("good" if share == 1.0 else "muted")
        return [(*left, (" ", "text"), *progress(share, min(room, 60), glyphs, role), (" ", "text"), *right)]


def progress_words(model: RunModel, width: int, glyphs: Glyphs) -> tuple[list[Piece], float | None, list[Piece]]:
    """What stands left of the bar, the bar's share, and what stands right of it."""
    view, wide = model.view, width >= 110
    share = min(1.0, view.step / view.total_steps) if view.total_steps else None
    total = wording.count(view.total_steps)
    left: list[Piece] = [(" step " if wide else " ", "muted"), (f"{view.step:,}", "strong"), (f"/{total} ", "muted")]
    right: list[Piece] = [] if share is None else [(f" {share:4.0%}", "strong")]
    gap = "   " if wide else "  "
    if model.state.live and view.phase not in (None, "train"):
        doing = _PHASES.get(view.phase or "", safe_text(view.phase or "", limit=30))
        right.append((f"{gap}{doing}", "accent"))
        if view.phase_done is not None and view.phase_total:
            right.append((f" {view.phase_done:,}/{view.phase_total:,}", "muted"))
    if (runs := number(view.multi.get("of"))) is not None:
        right.append((f"{gap}run {view.multi.get('run', wording.UNKNOWN)}/{runs:.0f}", "text"))
    if view.epoch is not None and width >= 76:
        epochs = "" if view.multi else wording.epochs(view.plan.get("epochs"))
        of = f"/{epochs}" if epochs else ""
        right.append((f"{gap}{'epoch ' if wide else 'e'}{view.epoch:.2f}{of}", "muted"))
    rate = tokens_per_s(view).value
    if model.state is RunState.RUNNING and rate is not None:
        right.append((f"{gap}{_tight(rate)} tok/s", "text"))
    left_s = time_left(view)
    if model.state in (RunState.RUNNING, RunState.PAUSED) and left_s.value is not None and view.updated is not None:
        right.append((f"{gap}ETA {'±' if left_s.about else ''}{wording.duration(left_s.value)}", "strong"))
        if wide and model.state is RunState.RUNNING:
            right.append((f"{gap}done {moment(view.updated + left_s.value, view.updated)}", "muted"))
    if not model.state.live and view.started and view.ended:
        right.append((f"{gap}took {wording.duration(view.ended - view.started)}", "text"))
        if wide:
            right.append((f"{gap}ended {wording.clock(view.ended)}", "muted"))
    return left, share, [*right, (" ", "text")]


def _tight(value: float) -> str:
    return wording.short_count(value).replace(" ", "")
