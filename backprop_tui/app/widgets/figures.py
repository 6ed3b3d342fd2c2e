"""The key figures of now: one line each, the most important ones where there is no room for all, or the few on one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.figures_speed import Row, speed_rows
from backprop_tui.app.widgets.gauge import spark
from backprop_tui.app.widgets.painted import Line, Painted, Piece, fit, width_of
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.figures import Prices
from backprop_tui.protocol.multi_words import loss
from backprop_tui.protocol.resume_words import lineage_words
from backprop_tui.protocol.task_figures import REWARD, words_of
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView

#: Cells of the labels, at least and at most: titles of an objective's figures may be long.
_LABEL, _LABELS = 13, 19
#: Columns from which figures stand in two columns.
_TWO = 100
#: Steps whose mean is compared with that of as many before.
_TREND = 10


class Figures(Painted, can_focus=True):
    """Figures of a model; `one_line` puts the most important ones side by side.

    Attributes:
        prices: what a kilowatt-hour and a GPU's hour cost.
    """

    DEFAULT_CSS = "Figures { height: 1fr; }"

    def __init__(self, *, one_line: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.one_line = one_line
        self.can_focus = not one_line
        self.prices = Prices()
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
        if self.one_line:
            return [short_line(self._model, width)]
        return figure_lines(self._model, width, height, glyphs_of(self), self.prices)


def figure_lines(model: RunModel, width: int, height: int, glyphs: Glyphs, prices: Prices) -> list[Line]:
    """Every figure where they fit, in two columns if need be; else the most important ones, in their usual order."""
    rows = _rows(model, width, glyphs, prices)
    if len(rows) > height and width >= _TWO:
        half = width // 2
        rows = _rows(model, half, glyphs, prices)
        left, label = -(-len(rows) // 2), _label(rows)
        pairs = zip(rows[:left], [*rows[left:], None], strict=False)
        lines = [(*fit(one.line(label, half), half), *(two.line(label, half) if two else ())) for one, two in pairs]
        return lines[:height]
    if len(rows) > height:
        kept = sorted(range(len(rows)), key=lambda place: rows[place].rank)[:height]
        rows = [rows[place] for place in sorted(kept)]
    label = _label(rows)
    return [row.line(label, width) for row in rows]


def _label(rows: Sequence[Row]) -> int:
    return max([_LABEL, *(min(_LABELS, len(row.title) + 2) for row in rows)])


def _loss_role(value: float | None) -> str:
    return "bad" if value is not None and not math.isfinite(value) else "strong"


def short_line(model: RunModel, width: int) -> Line:
    """The most important figures on one line."""
    view = model.view
    pieces: list[Piece] = [(" loss ", "muted"), (wording.loss(view.loss), _loss_role(view.loss))]
    if REWARD in view.figures or REWARD in view.eval_figures:
        # Where rewards are what is learnt from, the loss says little.
        pieces = [(" reward ", "muted"), (words_of(REWARD).value(view.figures.get(REWARD)), "strong")]
        pieces += [("  held out ", "muted"), (words_of(REWARD).value(view.eval_figures.get(REWARD)), "strong")]
    elif view.eval_loss is not None:
        pieces += [("  eval ", "muted"), (wording.loss(view.eval_loss), _loss_role(view.eval_loss))]
        if view.best_eval_loss is not None and width >= 70 and not view.figures:
            pieces.append((f" (best {wording.loss(view.best_eval_loss)})", "muted"))
    others = [(name, words_of(name).value(value)) for name, value in view.figures.items() if name != REWARD]
    following = [(words_of(name).title, value) for name, value in others[: 1 if width < _TWO else 2]]
    following += [("grad", wording.significant(view.grad_norm)), ("lr", wording.significant(view.lr))]
    if view.checkpoint_step is not None:
        following.append(("save", f"{view.checkpoint_step:,}"))
    for title, value in following:
        more: list[Piece] = [(f"  {title} ", "muted"), (value, "text")]
        if width_of([*pieces, *more]) > width:
            break
        pieces += more
    return tuple(pieces)


def _rows(model: RunModel, width: int, glyphs: Glyphs, prices: Prices) -> list[Row]:
    view = model.view
    own = [_figure(view, name, place) for place, name in enumerate(view.figures or view.eval_figures)]
    # Titles of an objective's figures are the longest there are.
    room = max(0, width - _label(own) - 11)

    def history(name: str) -> Piece:
        return spark(model.recent.get(name, ()), room, glyphs), "series-1"

    rows = [
        Row(0, "train loss", wording.loss(view.loss), _loss_role(view.loss), _change(model, glyphs)),
        Row(
            1,
            "eval loss",
            wording.loss(view.eval_loss),
            _loss_role(view.eval_loss),
            _best(model),
            ("minus reward", "- reward"),
        ),
    ]
    rows += own
    if view.token_accuracy is not None:
        rows.append(Row(6, "accuracy", wording.percent(view.token_accuracy), "text", ("held-out tokens", "muted")))
    if view.exact_match is not None:
        rows.append(Row(6, "exact match", f"{view.exact_match:.2f}", "strong", ("held out", "muted")))
    rows.append(Row(3, "grad norm", wording.significant(view.grad_norm), "text", history("grad_norm")))
    rows.append(Row(5, "lr", wording.significant(view.lr), "text", history("lr")))
    rows += speed_rows(model, glyphs, prices)
    saved = "none yet" if view.checkpoint_step is None else f"step {view.checkpoint_step:,}"
    at = f"at {wording.clock(view.checkpoint_wall)}" if view.checkpoint_wall else ""
    rows.append(Row(7, "last save", saved, "text", (at, "muted")))
    if model.state.live:
        for rank, title, key in ((8, "next eval", "eval_every"), (9, "next save", "save_every")):
            upcoming = _upcoming(view.step, view.plan.get(key), view.total_steps)
            if upcoming is not None:
                rows.append(Row(rank, title, f"step {upcoming:,}", "text", (_until(model, upcoming), "muted")))
    return [*rows, *_history(view)]


def _history(view: RunView) -> list[Row]:
    """Where the run stands among others and what became of it: multi-run, attempts, parent, smaller batches."""
    rows: list[Row] = []
    known, of = view.multi, number(view.multi.get("of"))
    if of is not None:
        merges = known.get("merges", {})
        newest = max(merges, key=int, default=None)
        merge = {} if newest is None else merges[newest]
        note = "nothing merged yet" if newest is None else _merged(newest, merge)
        rows.append(Row(2, "run", f"{known.get('run', wording.UNKNOWN)} of {of:.0f}", "strong", (note, "muted")))
        if merge.get("accepted") and number(merge.get("drift")) is not None:
            rows.append(Row(8, "drift", loss(merge.get("drift")), "text", (f"of run {newest}", "muted")))
    resumed = view.resumed or {}
    kind = safe_text(resumed.get("kind") or "", limit=20)
    if view.attempt > 1:
        odd = kind == "statistical" or bool(resumed.get("skipped"))
        note = f"{kind} resume" if kind and kind != "warm" else "resumed"
        rows.append(
            Row(8, "attempt", str(view.attempt), "text", (note, "warn" if odd else "muted"), (kind or "resumed",))
        )
    if kind == "warm":
        parent = resumed.get("parent")
        came = lineage_words(parent) if isinstance(parent, dict) else "another run"
        rows.append(Row(8, "fork of", "", "text", (came, "text")))
    if view.batch is not None:
        sizes = f"{view.batch['batch_size']} x {view.batch['accumulation']}"
        rows.append(Row(8, "batch", sizes, "warn", ("memory ran out before", "muted"), ("memory ran out",)))
    return rows


def _merged(index: str, merge: Mapping[str, Any]) -> str:
    """`λ 0.577`, or that the newest merge was refused."""
    if not merge.get("accepted"):
        return f"run {index} not merged"
    return f"λ {loss(merge.get('share'))}"


def _figure(view: RunView, name: str, place: int) -> Row:
    """A figure of the objective in training, and held out beside it; the first two come before most others."""
    words = words_of(name)
    held = view.eval_figures.get(name)
    value, beside = words.value(view.figures.get(name)), words.value(held)
    said = (f"held out {beside}", f"eval {beside}", f"eval {held:.2g}") if held is not None else ("",)
    return Row(2 if place < 2 else 10, words.title, value, "text", (said[0], "muted"), said[1:])


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
    if REWARD in view.eval_figures:
        return ("minus the reward held out", "muted")
    if model.best:
        return ("best", "good")
    return (f"best {wording.loss(view.best_eval_loss)}", "muted")


def _upcoming(step: int, every: object, total: int | None) -> int | None:
    if not isinstance(every, (int, float)) or every < 1:
        return None
    following = (int(step // every) + 1) * int(every)
    return min(following, total) if total else following


def _until(model: RunModel, step: int) -> str:
    recent = model.view.recent_step_s
    return f"in {wording.duration((step - model.view.step) * sum(recent) / len(recent))}" if recent else ""
