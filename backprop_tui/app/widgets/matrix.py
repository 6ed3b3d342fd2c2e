"""A multi-run at a glance: every run with its λ and drift, and the loss of the merged adapter on every task after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from backprop_tui.app.actions import bindings
from backprop_tui.app.keymap import matrix as keymap
from backprop_tui.app.widgets.lines import Line, fit, wrap
from backprop_tui.app.widgets.sheet import LongSheet
from backprop_tui.protocol.multi_view import figures_of, rows_of
from backprop_tui.protocol.multi_words import loss, merge_sentence, short, stage_sentence
from backprop_tui.protocol.text import safe_text

#: Cells of a run's name, of λ and drift, and of a loss.
_NAME, _FIGURE, _LOSS = 10, 7, 9
_MEANING = (
    "Each line is the merged adapter after a run, with its held-out loss on every task.",
    "λ: the share of the run that is merged. drift: 1 minus the cosine between the run's update and the merged one.",
    "forgetting: how far earlier tasks are above their lowest loss.",
    "backward transfer: by how much earlier tasks fell since their own run.",
)


def matrix_lines(known: Mapping[str, Any], width: int) -> list[Line]:
    """The whole sheet at a width.

    Where not all tasks fit beside each other the newest ones seen are shown, and how many are left out is said. The lowest
    loss of a task stands out; a refused merge is marked.

    Args:
        known: as `protocol.multi_view.fold` leaves it.
        width: cells.
    """
    known = dict(known)
    rows, tasks = rows_of(known), [safe_text(name, limit=60) for name in known.get("tasks", ())]
    found = figures_of(known)
    figures: list[Line] = [
        [("average ", "muted"), (loss(found.average), "strong"), (f" (base {loss(found.base)})", "muted")],
        [("forgetting ", "muted"), (loss(found.forgetting), "strong")],
        [("backward transfer ", "muted"), (loss(found.backward), "strong")],
    ]
    lines = _beside(figures, width)
    lines.append([])
    room = max(1, (width - _NAME - 2 * _FIGURE) // _LOSS)
    seen = max(1, len(rows) - 1)
    end = min(len(tasks), max(room, seen))
    shown = range(max(0, end - room), end)
    heading = [
        (fit("after", _NAME), "muted"),
        (fit("λ", _FIGURE, "right"), "muted"),
        (fit("drift", _FIGURE, "right"), "muted"),
    ]
    lines.append([*heading, *((fit(_task(tasks[task]), _LOSS, "right"), "muted") for task in shown)])
    lowest = {
        task: min((value for row in rows if (value := _at(row, task)) is not None), default=None) for task in shown
    }
    for index, row in enumerate(rows):
        lines.append(_row(index, row, known.get("merges", {}).get(str(index), {}), shown, lowest))
    if len(tasks) > len(shown):
        lines.append(
            [(f"{len(tasks) - len(shown)} more tasks don't fit; `backprop show --json` has them all", "muted")]
        )
    lines += [[], *_sentences(known, width), []]
    return lines + [[(line, "muted")] for words in _MEANING for line in wrap(words, width)]


def _task(name: str) -> str:
    """A task's heading: the end of a file's name, or which rows a slice holds."""
    return short(name.removeprefix("rows "), _LOSS - 1)


def _beside(parts: list[Line], width: int) -> list[Line]:
    """Parts on one line where they fit, each on its own where they don't."""
    joined: list[tuple[str, str]] = [piece for part in parts for piece in (*part, ("   ", "muted"))][:-1]
    return [joined] if sum(len(text) for text, _ in joined) <= width else list(parts)


def _row(
    index: int, row: list[float | None], merge: Mapping[str, Any], shown: range, lowest: Mapping[int, float | None]
) -> Line:
    refused = index > 0 and not merge.get("accepted", True)
    tone = "warn" if refused else "text"
    cells = [(fit("base" if index == 0 else f"run {index}", _NAME), tone)]
    cells += [(fit(loss(merge.get(key)), _FIGURE, "right"), tone) for key in ("share", "drift")]
    for task in shown:
        value = _at(row, task)
        own = "strong good" if value is not None and value == lowest[task] else "strong" if task + 1 == index else tone
        cells.append((fit(loss(value), _LOSS, "right"), own))
    return cells


def _sentences(known: Mapping[str, Any], width: int) -> list[Line]:
    lines: list[Line] = []
    merges = known.get("merges", {})
    for index, stage in sorted(known.get("stages", {}).items(), key=lambda item: int(item[0])):
        begun = stage_sentence({**stage, "status": "begin"}) or ""
        lines += [[(line, "text")] for line in wrap(begun, width)]
        if index in merges:
            tone = "muted" if merges[index].get("accepted") else "warn"
            lines += [[(f"  {line}", tone)] for line in wrap(merge_sentence(merges[index]), width - 2)]
    return lines


def _at(row: list[float | None], task: int) -> float | None:
    return row[task] if task < len(row) else None


class MatrixScreen(ModalScreen[None]):
    """The sheet over the Run screen.

    Args:
        known: `RunView.multi`.
    """

    DEFAULT_CSS = """
    MatrixScreen {
        align: center middle;
        background: $background 60%;
        & > #box {
            width: 94%; max-width: 130; height: 86%; max-height: 40;
            background: $surface; border: round $primary; padding: 0 1;
            border-title-color: $foreground; border-title-style: bold;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings(keymap.ACTIONS)
    AUTO_FOCUS = "#matrix"

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self._known = known

    def compose(self) -> ComposeResult:
        """Title in the frame, the sheet."""
        with Vertical(id="box") as box:
            done, of = len(rows_of(dict(self._known))) - 1, self._known.get("of")
            box.border_title = Content(f"multi-run  {max(0, done)} of {of or '–'} runs merged or refused")
            box.border_subtitle = Content("Esc close")
            yield LongSheet(id="matrix")

    def on_mount(self) -> None:
        """Fill the sheet."""
        self.query_one(LongSheet).show(lambda width: matrix_lines(self._known, width))

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)
