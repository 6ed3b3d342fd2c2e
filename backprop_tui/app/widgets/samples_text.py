"""Answers as lines: side by side or one below the other, words that differ from the reference marked. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets.log_paint import split
from backprop_tui.app.widgets.painted import Line, Piece, ellipsis, fit
from backprop_tui.protocol.text import safe_block, safe_text
from backprop_tui.store.samples import Answer

#: Narrowest widget in which answers stand side by side.
SIDE_BY_SIDE = 96
#: Characters of a text shown, and words of it compared.
_SHOWN, _COMPARED = 8000, 600
_TOKEN = re.compile(r"\n|[^\S\n]+|\S+")


def answer_lines(answers: Sequence[Answer], width: int, glyphs: Glyphs, *, wrap: bool, beside: bool) -> list[Line]:
    """All of them, a blank line between two."""
    lines: list[Line] = []
    for answer in answers:
        if lines:
            lines.append(())
        lines += _beside(answer, width, glyphs, wrap) if beside else _stacked(answer, width, glyphs, wrap)
    return lines


def _columns(answer: Answer, glyphs: Glyphs) -> list[tuple[str, str, str, list[Piece]]]:
    """Title, sign, the sign's role and text of everything that was said, the reference first."""
    good, bad = ("+", "x") if glyphs.marks == "ascii" else ("✓", "✗")
    found: list[tuple[str, str, str, list[Piece]]] = []
    if answer.reference:
        found.append(("ref", " ", "muted", [(safe_block(answer.reference, limit=_SHOWN), "text")]))
    for title, text, match, role, marks in (
        ("base", answer.base, answer.base_match, "text", answer.base_marks),
        ("tuned", answer.tuned, answer.tuned_match, "strong", answer.tuned_marks),
    ):
        if text is None:
            continue
        pieces = compared(text, answer.reference, role) if title == "tuned" and not match else [(_shown(text), role)]
        if marks:
            said = ", ".join(f"{safe_text(name, limit=32)} {_mark(value)}" for name, value in marks)
            pieces = [*pieces, ("\n", "muted"), (said, "muted")]
        sign, sign_role = ((good, "good") if match else (bad, "bad")) if answer.reference else (" ", "muted")
        found.append((title, sign, sign_role, pieces))
    return found


def _mark(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def compared(text: str, reference: str, role: str) -> list[Piece]:
    """A text in pieces; words that the reference does not have there stand out."""
    shown = _shown(text)
    if not reference:
        return [(shown, role)]
    tokens = _TOKEN.findall(shown)
    words = [token for token in tokens if not token.isspace()][:_COMPARED]
    wanted = [token for token in _TOKEN.findall(safe_block(reference, limit=_SHOWN)) if not token.isspace()][:_COMPARED]
    odd: set[int] = set()
    for kind, first, last, _, _ in difflib.SequenceMatcher(None, words, wanted, autojunk=False).get_opcodes():
        if kind in ("replace", "delete"):
            odd.update(range(first, last))
    pieces: list[Piece] = []
    number = 0
    for token in tokens:
        if token.isspace():
            pieces.append((token, role))
            continue
        pieces.append((token, "accent" if number in odd else role))
        number += 1
    return pieces


def _shown(text: str) -> str:
    return safe_block(text, limit=_SHOWN) if text.strip() else "(empty)"


def wrapped(pieces: Sequence[Piece], width: int) -> list[Line]:
    """Pieces broken at blanks and line ends into lines of at most `width` cells."""
    lines: list[Line] = []
    line: list[Piece] = []
    left = width
    for text, role in pieces:
        for token in _TOKEN.findall(text):
            if token == "\n":
                lines.append(tuple(line))
                line, left = [], width
                continue
            if cell_len(token) <= left:
                line.append((token, role))
                left -= cell_len(token)
                continue
            if token.isspace():
                continue
            if line:
                lines.append(tuple(line))
            *whole, rest = split([(token, role)], width)
            lines += whole
            line, left = list(rest), width - sum(cell_len(part) for part, _ in rest)
    return [*lines, tuple(line)] if line or not lines else lines


def _body(pieces: list[Piece], width: int, glyphs: Glyphs, wrap: bool) -> list[Line]:
    if wrap:
        return wrapped(pieces, max(8, width))
    flat = [(text.replace("\n", "↵"), role) for text, role in pieces]
    if sum(cell_len(text) for text, _ in flat) > width:
        return [(*fit(flat, max(1, width - 1)), (glyphs.ellipsis, "muted"))]
    return [tuple(flat)]


def _stacked(answer: Answer, width: int, glyphs: Glyphs, wrap: bool) -> list[Line]:
    lines: list[Line] = []
    ask = ("ask", " ", "muted", [(safe_block(answer.prompt, limit=_SHOWN), "muted")])
    for title, sign, sign_role, pieces in (ask, *_columns(answer, glyphs)):
        for number, body in enumerate(_body(pieces, width - 10, glyphs, wrap)):
            head: Line = ((f" {title:<6}", "muted"), (f"{sign} ", sign_role)) if not number else ((" " * 9, "text"),)
            lines.append((*head, *body))
    return lines


def _beside(answer: Answer, width: int, glyphs: Glyphs, wrap: bool) -> list[Line]:
    columns = _columns(answer, glyphs)
    if not columns:
        return []
    each = (width - 1 - 2 * (len(columns) - 1)) // len(columns)
    ask = ellipsis(safe_text(answer.prompt, limit=_SHOWN), width - 6, glyphs.ellipsis)
    lines: list[Line] = [((" ask ", "muted"), (ask, "muted"))]
    if wrap:
        lines = [
            ((" ask " if not number else "     ", "muted"), *part)
            for number, part in enumerate(wrapped([(safe_block(answer.prompt, limit=_SHOWN), "muted")], width - 6))
        ]
    heads = [fit(((f"{sign} ", role), (title, "muted")), each) for title, sign, role, _ in columns]
    lines.append(_row(heads, each))
    bodies = [_body(pieces, each, glyphs, wrap) for _, _, _, pieces in columns]
    lines += [_row(row, each) for row in zip_longest(*bodies, fillvalue=())]
    return lines


def _row(cells: Sequence[Line], each: int) -> Line:
    row: list[Piece] = [(" ", "text")]
    for number, cell in enumerate(cells):
        row += [*((("  ", "text"),) if number else ()), *fit(cell, each)]
    return tuple(row)
