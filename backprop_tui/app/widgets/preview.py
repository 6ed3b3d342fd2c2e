"""One row of a dataset: what it says and what the model reads of it, as it stands in the file, or token by token.

What is learnt and what is masked differs by the mark in front of each line and by tone, never by tone alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from textual import events

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.widgets.lines import Line, LineView, wrap
from backprop_tui.app.widgets.turns import fold, meaning_lines
from backprop_tui.protocol.text import DISPLAY_LIMIT, safe_block

if TYPE_CHECKING:
    from backprop_tui.data.looking.preview import PreviewRow
    from backprop_tui.data.rendering.encoded import EncodedRow, Piece, Rendered

Mode = Literal["rendered", "raw", "tokens"]
#: The ways to show a row, in the order of the key.
MODES: tuple[Mode, ...] = ("rendered", "raw", "tokens")
#: From this height on the turns are shown above the rendering.
_ROOM_FOR_TURNS = 14
#: Ids listed of one stretch.
_MOST_IDS = 400
_MARKS = {"trained": "┃", "masked": "░", "cut": "×"}
_ASCII_MARKS = {"trained": "|", "masked": ":", "cut": "x"}
_TONES = {"trained": "trained", "masked": "masked", "cut": "bad"}


def piece_lines(pieces: Sequence[Piece], width: int, *, ascii_only: bool = False) -> list[Line]:
    """Pieces with a mark in front of each line; `↵` is a line break of the text, a break without it is ours."""
    marks = _ASCII_MARKS if ascii_only else _MARKS
    lines: list[Line] = []
    left = DISPLAY_LIMIT
    for piece in pieces:
        text, left = piece.text[:left], left - len(piece.text)
        tone = _TONES[piece.kind]
        parts = text.split("\n")
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if last and not part:
                continue
            for line in fold(part + ("" if last else "↵"), width - 2):
                lines.append(((f"{marks[piece.kind]} ", tone), (line, tone)))
        if left <= 0:
            lines.append((("…", "muted"),))
            break
    return lines


def stretches(encoded: EncodedRow, pieces: Sequence[Piece]) -> list[tuple[Piece | None, list[int]]]:
    """The ids of each stretch of learnt or masked tokens beside its text; a stretch has none where tokens add no text."""
    ids = iter(encoded.ids)
    runs = [[next(ids) for _ in run] for _, run in groupby(encoded.trained)]
    kept = [piece for piece in pieces if piece.kind != "cut"]
    if len(runs) != len(kept):
        return [(None, run) for run in runs]
    return list(zip(kept, runs, strict=True))


def marked(text: str, ends: Sequence[int], cut: str) -> str:
    """A text with a mark between its tokens.

    Args:
        text: of a stretch.
        ends: for each of its tokens, the character after its last one.
        cut: the mark.
    """
    parts: list[str] = []
    start = 0
    for end in ends:
        if start < end <= len(text):
            parts.append(text[start:end])
            start = end
    return cut.join([*parts, text[start:]] if start < len(text) else parts)


def token_lines(rendered: Rendered, width: int, *, ascii_only: bool = False) -> list[Line]:
    """Stretch by stretch: how many tokens, learnt or masked, their text, and their ids."""
    marks = _ASCII_MARKS if ascii_only else _MARKS
    encoded = rendered.encoded
    lines: list[Line] = []
    learns = bool(encoded.trained[0]) if len(encoded) else False
    cut = "|" if ascii_only else "│"
    at = place = 0
    for number, (piece, ids) in enumerate(stretches(encoded, rendered.pieces)):
        kind = piece.kind if piece is not None else "trained" if learns ^ bool(number % 2) else "masked"
        tone, noun = _TONES[kind], "token" if len(ids) == 1 else "tokens"
        lines.append(((f"{marks[kind]} ", tone), (f"{len(ids):,} {noun} {kind}", "strong")))
        if piece is not None:
            ends = [end - at for end in rendered.ends[place : place + len(ids)]]
            at += len(piece.text)
            lines += piece_lines((replace(piece, text=marked(piece.text, ends, cut)),), width, ascii_only=ascii_only)
        place += len(ids)
        listed = " ".join(map(str, ids[:_MOST_IDS])) + (" …" if len(ids) > _MOST_IDS else "")
        lines += [((f"{marks[kind]} ", tone), (line, "muted")) for line in wrap(listed, width - 2)]
    for piece in rendered.pieces:
        if piece.kind == "cut":
            lines.append(((f"{marks['cut']} ", "bad"), (f"{encoded.cut:,} tokens cut off", "bad")))
            lines += piece_lines((piece,), width, ascii_only=ascii_only)
    return lines


def problem_lines(row: PreviewRow, width: int) -> list[Line]:
    """Why a row can't be used, with the place and what to do."""
    if row.problem is None:
        return []
    where = f"{row.problem.where}: " if row.problem.where else ""
    value = f" Here: {row.problem.value}" if row.problem.value else ""
    words = f"! {where}{row.problem.cause}{value} ({row.problem.code})"
    lines: list[Line] = [((line, "warn"),) for line in wrap(words, width)]
    return [*lines, *[((line, "muted"),) for line in wrap(row.problem.next_step, width) if line], ()]


def row_lines(
    row: PreviewRow, width: int, height: int, *, mode: Mode, rendered: Rendered | None = None, ascii_only: bool = False
) -> list[Line]:
    """A row as painted lines.

    Args:
        row: the row.
        width: cells of a line.
        height: lines there are.
        mode: how it is shown.
        rendered: what the model reads, for tokens.
        ascii_only: marks in ASCII.
    """
    from backprop_tui.data.formats import purpose_of

    lines = problem_lines(row, width)
    if mode == "raw" or row.normalised is None:
        for text in safe_block(row.raw).split("\n"):
            lines += [((line, "text"),) for line in fold(text, width)]
        return lines
    if mode == "tokens":
        if rendered is None:
            return [*lines, (("No tokens are known of this row.", "muted"),)]
        return lines + token_lines(rendered, width, ascii_only=ascii_only)
    purpose = purpose_of(row.normalised)
    pair = purpose in ("preference", "unpaired")
    roomy = height >= _ROOM_FOR_TURNS
    if row.pieces is None or roomy or pair:
        lines += meaning_lines(row.normalised, width)
    if row.pieces is not None and (roomy or not pair):
        if roomy:
            marks = _ASCII_MARKS if ascii_only else _MARKS
            title = "the chosen side as the model sees it   " if purpose == "preference" else "as the model sees it   "
            lines.append(
                (
                    (title, "strong"),
                    (f"{marks['trained']} trained  ", "trained"),
                    (f"{marks['masked']} masked", "masked"),
                )
            )
        lines += piece_lines(row.pieces, width, ascii_only=ascii_only)
    return lines


class RowView(LineView):
    """Shows one row; scrolls with the arrows when focused."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._row: PreviewRow | None = None
        self._rendered: Rendered | None = None
        self._words: tuple[str, ...] = ()
        self._mode: Mode = "rendered"
        self._lines: list[Line] = []

    @property
    def line_count(self) -> int:
        """Lines at the present width."""
        return len(self._lines)

    def line(self, index: int, width: int) -> Line:
        """One of them."""
        return self._lines[index]

    def show(self, row: PreviewRow | None, *, mode: Mode, rendered: Rendered | None = None) -> None:
        """Another row, or the same another way; what is known more of the same row leaves the place it is scrolled to."""
        same = row is not None and self._row is not None and self._row.index == row.index and self._mode == mode
        self._row, self._rendered, self._mode, self._words = row, rendered, mode, ()
        if not same:
            self.scroll_to(y=0, animate=False)
        self._arrange()

    def say(self, *sentences: str) -> None:
        """Sentences in place of a row."""
        self._row, self._words = None, sentences
        self._arrange()

    def on_resize(self, event: events.Resize) -> None:
        """Lines depend on the width."""
        self._arrange(anew=True)

    def _arrange(self, anew: bool = False) -> None:
        width = self.size.width - 2
        lines: list[Line] = []
        if width > 4 and self._row is not None:
            ascii_only = glyphs_of(self).marks == "ascii"
            lines = row_lines(
                self._row, width, self.size.height, mode=self._mode, rendered=self._rendered, ascii_only=ascii_only
            )
        elif width > 4:
            lines = [((line, "muted"),) for words in self._words for line in wrap(words, width)]
        before, self._lines = self._lines, [((" ", "text"), *line) for line in lines]
        if anew or len(before) != len(self._lines):
            self.relayout()
            return
        for number, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if old != new:
                self.repaint_line(number)
