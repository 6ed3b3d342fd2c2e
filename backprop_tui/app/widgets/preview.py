"""One row of a dataset, as it stands in the file or as the model reads it.

What is learnt and what is masked differs by the mark in front of each line and by tone, never by tone alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual import events

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.widgets.lines import Line, LineView, wrap
from backprop_tui.protocol.text import DISPLAY_LIMIT, safe_block, safe_text

if TYPE_CHECKING:
    from backprop_tui.data.encoded import Piece
    from backprop_tui.data.preview import PreviewRow

#: From this height on the turns are shown above the rendering.
_ROOM_FOR_TURNS = 14
_MARKS = {"trained": "┃", "masked": "░", "cut": "×"}
_ASCII_MARKS = {"trained": "|", "masked": ":", "cut": "x"}
_TONES = {"trained": "trained", "masked": "masked", "cut": "bad"}


def fold(text: str, width: int) -> list[str]:
    """`text` cut into pieces of at most `width` cells, after a blank where one is near; nothing is lost."""
    text = safe_text(text)
    lines: list[str] = []
    while cell_len(text) > width > 0:
        head = set_cell_size(text, width)
        if cell_len(head) > cell_len(text) or not text.startswith(head):
            # A wide character does not fit into the last cell and was replaced by a blank.
            head = head[:-1]
        blank = head.rfind(" ")
        if blank > len(head) // 2:
            head = head[: blank + 1]
        if not head:
            break
        lines.append(head)
        text = text[len(head) :]
    return [*lines, text]


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


def row_lines(row: PreviewRow, width: int, height: int, *, raw: bool, ascii_only: bool = False) -> list[Line]:
    """A row as painted lines: raw text, or turns and rendering, and what is wrong with it."""
    from backprop_tui.data.formats import Conversation

    lines: list[Line] = []
    if row.problem is not None:
        where = f"{row.problem.where}: " if row.problem.where else ""
        lines += [((line, "warn"),) for line in wrap(f"! {where}{row.problem.cause} ({row.problem.code})", width)]
        lines += [((line, "muted"),) for line in wrap(row.problem.next_step, width) if line]
        lines.append(())
    if raw or row.normalised is None:
        for text in safe_block(row.raw).split("\n"):
            lines += [((line, "text"),) for line in fold(text, width)]
        return lines
    if row.pieces is None or height >= _ROOM_FOR_TURNS:
        if isinstance(row.normalised, Conversation):
            turns = [(message.role, message.content) for message in row.normalised.messages]
        else:
            turns = [("text", row.normalised.text)]
        for role, content in turns:
            lines.append(((safe_text(role, limit=40), "strong"),))
            for text in safe_block(content).split("\n"):
                lines += [(("  ", "text"), (line, "text")) for line in fold(text, width - 2)]
            lines.append(())
    if row.pieces is not None:
        if height >= _ROOM_FOR_TURNS:
            marks = _ASCII_MARKS if ascii_only else _MARKS
            lines.append(
                (
                    ("as the model sees it   ", "strong"),
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
        self._words: tuple[str, ...] = ()
        self._raw = False
        self._lines: list[Line] = []

    @property
    def line_count(self) -> int:
        """Lines at the present width."""
        return len(self._lines)

    def line(self, index: int, width: int) -> Line:
        """One of them."""
        return self._lines[index]

    def show(self, row: PreviewRow | None, *, raw: bool) -> None:
        """Another row, or the same another way."""
        self._row, self._raw, self._words = row, raw, ()
        self.scroll_to(y=0, animate=False)
        self._arrange()

    def say(self, *sentences: str) -> None:
        """Sentences in place of a row."""
        self._row, self._words = None, sentences
        self._arrange()

    def on_resize(self, event: events.Resize) -> None:
        """Lines depend on the width."""
        self._arrange()

    def _arrange(self) -> None:
        width = self.size.width - 2
        lines: list[Line] = []
        if width > 4 and self._row is not None:
            ascii_only = glyphs_of(self).marks == "ascii"
            lines = row_lines(self._row, width, self.size.height, raw=self._raw, ascii_only=ascii_only)
        elif width > 4:
            lines = [((line, "muted"),) for words in self._words for line in wrap(words, width)]
        self._lines = [((" ", "text"), *line) for line in lines]
        self.relayout()
