"""The key figures of now: loss, evaluation, gradient, learning rate, tokens, saves. One line each, or all on one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.gauge import spark
from backprop_tui.app.widgets.painted import Line, Painted, Piece
from backprop_tui.app.widgets.panel import Panel

_LABEL = 13
#: Steps whose mean is compared with that of as many before.
_TREND = 10


class Figures(Painted, can_focus=True):
    """Figures of a model; `one_line` puts the most important ones side by side."""

    DEFAULT_CSS = "Figures { height: 1fr; }"

    def __init__(self, *, one_line: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.one_line = one_line
        self.can_focus = not one_line
        self._model: RunModel | None = None

    def show(self, model: RunModel) -> None:
        """Bring it up to date."""
        self._model = model
        if isinstance(self.parent, Panel):
            self.parent.label(facts=f"step {model.view.step:,}")
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The figures."""
        if self._model is None:
            return []
        glyphs = glyphs_of(self)
        return [_short(self._model, width)] if self.one_line else _long(self._model, width, glyphs)[:height]


def _loss_role(value: float | None) -> str:
    return "bad" if value is not None and not math.isfinite(value) else "strong"


def _short(model: RunModel, width: int) -> Line:
    view = model.view
    pieces: list[Piece] = [(" loss ", "muted"), (wording.loss(view.loss), _loss_role(view.loss))]
    if view.eval_loss is not None:
        pieces += [("  eval ", "muted"), (wording.loss(view.eval_loss), _loss_role(view.eval_loss))]
        if view.best_eval_loss is not None and width >= 70:
            pieces.append((f" (best {wording.loss(view.best_eval_loss)})", "muted"))
    pieces += [("  grad ", "muted"), (wording.significant(view.grad_norm), "text")]
    pieces += [("  lr ", "muted"), (wording.significant(view.lr), "text")]
    if view.checkpoint_step is not None:
        pieces += [("  save ", "muted"), (f"{view.checkpoint_step:,}", "text")]
    return tuple(pieces)


def _long(model: RunModel, width: int, glyphs: Glyphs) -> list[Line]:
    view = model.view
    room = max(0, width - _LABEL - 11)
    lines: list[Line] = [
        _row("train loss", wording.loss(view.loss), _loss_role(view.loss), _change(model, glyphs)),
        _row("eval loss", wording.loss(view.eval_loss), _loss_role(view.eval_loss), _best(model)),
    ]
    if view.exact_match is not None:
        lines.append(_row("exact match", f"{view.exact_match:.2f}", "strong", ("held out", "muted")))
    for name, title, value in (("grad_norm", "grad norm", view.grad_norm), ("lr", "lr", view.lr)):
        lines.append(
            _row(
                title, wording.significant(value), "text", (spark(model.recent.get(name, ()), room, glyphs), "series-1")
            )
        )
    total = view.plan.get("train_tokens")
    lines.append(
        _row(
            "tokens",
            wording.short_count(view.tokens),
            "text",
            (f"of {wording.short_count(_all_tokens(total, model))}", "muted"),
        )
    )
    saved = "none yet" if view.checkpoint_step is None else f"step {view.checkpoint_step:,}"
    lines.append(
        _row(
            "last save",
            saved,
            "text",
            (f"at {wording.clock(view.checkpoint_wall)}" if view.checkpoint_wall else "", "muted"),
        )
    )
    if model.state.live:
        for title, key in (("next eval", "eval_every"), ("next save", "save_every")):
            upcoming = _upcoming(view.step, view.plan.get(key), view.total_steps)
            if upcoming is not None:
                lines.append(_row(title, f"step {upcoming:,}", "text", (_until(model, upcoming), "muted")))
    if view.attempt > 1:
        lines.append(_row("attempt", str(view.attempt), "text", ("resumed", "muted")))
    return lines


def _row(title: str, value: str, role: str, note: Piece) -> Line:
    return ((f" {title:<{_LABEL - 1}}", "muted"), (f"{value:<10} ", role), note)


def _change(model: RunModel, glyphs: Glyphs) -> Piece:
    """Where the loss is heading: the mean of the last ten steps against the ten before; one step alone is noise."""
    recent = [value for value in model.recent.get("loss", ()) if value is not None and math.isfinite(value)]
    if len(recent) < 2 * _TREND:
        return ("", "muted")
    now, before = sum(recent[-_TREND:]), sum(recent[-2 * _TREND : -_TREND])
    if not before:
        return ("", "muted")
    share = (now - before) / abs(before)
    if abs(share) < 0.0005:
        return ("steady", "muted")
    return (f"{glyphs.down if share < 0 else glyphs.up} {abs(share):.1%}", "good" if share < 0 else "warn")


def _best(model: RunModel) -> Piece:
    view = model.view
    if view.best_eval_loss is None:
        return ("", "muted")
    if model.best:
        return ("best", "good")
    return (f"best {wording.loss(view.best_eval_loss)}", "muted")


def _all_tokens(total: object, model: RunModel) -> float | None:
    epochs = model.view.plan.get("epochs")
    if isinstance(total, (int, float)) and isinstance(epochs, (int, float)):
        return total * epochs
    return None


def _upcoming(step: int, every: object, total: int | None) -> int | None:
    if not isinstance(every, (int, float)) or every < 1:
        return None
    following = (int(step // every) + 1) * int(every)
    return min(following, total) if total else following


def _until(model: RunModel, step: int) -> str:
    recent = model.view.recent_step_s
    return f"in {wording.duration((step - model.view.step) * sum(recent) / len(recent))}" if recent else ""
