"""Before and after: the same held-out questions answered by the base and by the tuned model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual import events

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.run_model import RunModel, Sample
from backprop_tui.app.widgets.painted import Line, Painted
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.text import safe_text


class Samples(Painted, can_focus=True):
    """Question, base answer and tuned answer, one below the other; arrows scroll."""

    DEFAULT_CSS = "Samples { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._model: RunModel | None = None
        self._top = 0

    def show(self, model: RunModel) -> None:
        """Bring it up to date."""
        if model is not self._model:
            self._model, self._top = model, 0
        answered = [sample for sample in model.samples.values() if sample.tuned is not None]
        if isinstance(self.parent, Panel) and answered:
            right = sum(sample.tuned_match for sample in answered)
            self.parent.label(facts=f"tuned {right} of {len(answered)} exact   b back to the log")
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The lines in view."""
        if self._model is None or not self._model.samples:
            return [((" No samples yet. They are taken at each evaluation; e evaluates now.", "muted"),)]
        lines = self._all(width)
        self._top = min(self._top, max(0, len(lines) - height))
        return lines[self._top :]

    def on_key(self, event: events.Key) -> None:
        """Scroll."""
        step = {"up": -1, "down": 1, "pageup": -8, "pagedown": 8}.get(event.key)
        if step is not None:
            event.stop()
            self._top = max(0, self._top + step)
            self.repaint()

    def _all(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for _, sample in sorted((self._model.samples if self._model else {}).items()):
            lines += self._one(sample, width)
        return lines

    def _one(self, sample: Sample, width: int) -> list[Line]:
        good, bad = ("+", "x") if glyphs_of(self).marks == "ascii" else ("✓", "✗")
        lines = _wrapped("ask", sample.prompt, "muted", "", width)
        for title, answer, match in (
            ("base", sample.base, sample.base_match),
            ("tuned", sample.tuned, sample.tuned_match),
        ):
            if answer is None:
                continue
            role = "strong" if title == "tuned" else "text"
            lines += _wrapped(title, answer, role, good if match else bad, width, "good" if match else "bad")
        return lines


def _wrapped(title: str, text: str, role: str, mark: str, width: int, mark_role: str = "muted") -> list[Line]:
    rows = textwrap.wrap(safe_text(text, limit=2000), max(10, width - 12)) or ["(empty)"]
    first: Line = ((f" {title:<6}", "muted"), (f"{mark or ' '} ", mark_role), (rows[0], role))
    return [first, *(((" " * 9, "text"), (row, role)) for row in rows[1:])]
