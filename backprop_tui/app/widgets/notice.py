"""One sentence about a run that is not simply running: paused, ended, failed, gone, in trouble; with the next key."""

from __future__ import annotations

from collections.abc import Sequence

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.painted import Line, Painted, ellipsis
from backprop_tui.protocol.states import ON_REQUEST, RunState
from backprop_tui.protocol.task_figures import REWARD, words_of
from backprop_tui.protocol.text import safe_text

#: Lines at most, and rows of a screen that has room for them.
_MOST, _ROOMY = 4, 22


class Notice(Painted):
    """Up to two sentences, whole as far as there is room; absent while there is nothing to say."""

    DEFAULT_CSS = "Notice { height: auto; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        self._words: list[tuple[str, str]] = []
        self._broken: list[tuple[str, str]] = []
        self.display = False

    def show(self, model: RunModel | None) -> None:
        """Bring it up to date; None is no run at all."""
        words = notice_words(model, glyphs_of(self).marks == "ascii")
        if words == self._words:
            return
        self._words = words
        self.display = bool(words)
        self._settle()

    def on_resize(self) -> None:
        """Sentences break elsewhere in another width."""
        self._settle()

    def _settle(self) -> None:
        size = self.app.size
        most = _MOST if size.height >= _ROOMY else 2
        lines = folded(self._words, size.width - 2, most, glyphs_of(self).ellipsis)
        if len(lines) != len(self._broken):
            self.styles.height = max(1, len(lines))
        self._broken = lines
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The sentences."""
        return [((" ", "text"), (text, role)) for text, role in self._broken]


def folded(words: Sequence[tuple[str, str]], width: int, most: int, mark: str) -> list[tuple[str, str]]:
    """Sentences broken at blanks into at most `most` lines together; what has no room ends in `mark`.

    Args:
        words: sentences and their roles; blanks at a beginning indent all of its lines.
        width: cells of a line.
        most: lines, at least as many as sentences.
        mark: such as an ellipsis.
    """
    lines: list[tuple[str, str]] = []
    for place, (text, role) in enumerate(words):
        indent = text[: len(text) - len(text.lstrip())] or ("  " if len(text) > width else "")
        room = most - len(lines) - (len(words) - place - 1)
        first, *more = wrap(text.strip(), max(1, width - len(indent)))
        broken = [text[: len(text) - len(text.lstrip())] + first, *(indent + line for line in more)]
        if len(broken) > room:
            kept = broken[: room - 1]
            rest = " ".join(line.strip() for line in broken[room - 1 :])
            broken = [*kept, ellipsis((indent if kept else "") + rest, width, mark)]
        lines += [(line, role) for line in broken]
    return lines


def notice_words(model: RunModel | None, ascii: bool) -> list[tuple[str, str]]:
    """Sentences and their roles."""
    if model is None:
        return [("No run yet. Pick data with 1, then press g in Tune.", "text")]
    return [*_state_words(model, ascii), *_alert_words(model)][:2]


def _alert_words(model: RunModel) -> list[tuple[str, str]]:
    """The newest complaint nobody has looked at yet, while the run lives; its end has words of its own."""
    alert = model.alerts.unseen
    if alert is None or not model.state.live or not model.held:
        return []
    step = f"Step {alert.step:,}: " if alert.step is not None else ""
    often = f" ({alert.count:,} times)" if alert.count > 1 else ""
    text = f"! {step}{alert.text.rstrip('.')}{often}.  ! lists {model.alerts.total:,}."
    role = "bad" if alert.severity == "error" else "warn"
    return [(text, role), *([(f"  {alert.next}", "text")] if alert.next else [])]


def _state_words(model: RunModel, ascii: bool) -> list[tuple[str, str]]:
    if model.reading:
        # A short one is read before a sentence about it can be.
        return [("Reading what this run recorded.", "muted")] if model.series.names() else []
    view, state = model.view, model.state
    sign = state.ascii_glyph if ascii else state.glyph
    at = f"step {view.step:,}"
    reason = safe_text(view.reason, limit=300)
    saved = None if not view.checkpoints else max(view.checkpoints)
    again = "r starts it again from step 0." if saved is None else f"r resumes from step {saved:,}."
    spoilt = (view.fault or {}).get("code") == "LOSS_NOT_FINITE"
    if state is RunState.PAUSED and spoilt:
        back = "the start" if saved is None else f"step {saved:,}"
        return [(f"{sign} Paused at {at}. R goes back to {back} with half the learning rate, x stops.", "bad")]
    if spoilt and saved is not None:
        again = f"R resumes from step {saved:,} with half the learning rate."
    if state is RunState.PAUSED:
        words = [(f"{sign} Paused at {at}. p goes on, x stops.", "warn")]
        # Why, where it was not the person's own wish: heat, a full disk, a cool-down between runs.
        return words if reason in ("", ON_REQUEST) else [*words, (f"  {reason}", "warn")]
    if state is RunState.STOPPING:
        return [(f"{sign} Stopping after {at}. {reason}".rstrip(), "warn")]
    if state is RunState.COMPLETED:
        where = f" The result is in {safe_text(view.result, limit=200)}." if view.result else ""
        samples = " b shows answers before and after." if model.samples else ""
        loss = f" Loss {wording.loss(view.loss)}." if view.loss is not None else ""
        if (reward := view.figures.get(REWARD)) is not None:
            loss = f" Reward {words_of(REWARD).value(reward)}."
        return [(f"{sign} Done.{loss}{samples}{where}", "good")]
    if state is RunState.STOPPED:
        return [(f"{sign} Stopped at {at}. {again}", "text")]
    if state is RunState.ABORTED:
        return [(f"{sign} Stopped at {at} without saving. {again}", "warn")]
    if state is RunState.CRASHED:
        if not model.events:
            return [(f"{sign} Nothing was recorded and no engine holds this run. r starts it again.", "bad")]
        return [(f"{sign} The engine is gone; {at} was the last heard of. Nothing saved was lost. {again}", "bad")]
    if state is RunState.FAILED:
        fault = view.fault or {}
        cause = safe_text(fault.get("cause") or view.reason or "The run failed.", limit=400)
        code = safe_text(fault.get("code", ""), limit=60)
        following = safe_text(fault.get("next", ""), limit=300)
        head = f"{sign} {code}: {cause}" if code else f"{sign} {cause}"
        return [(head, "bad"), (f"  {following} Nothing saved was lost. {again}".replace("   ", "  "), "text")]
    return []
