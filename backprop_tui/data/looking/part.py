"""What was found in a part of a dataset, in a form that parts can be put together from."""

from __future__ import annotations

from typing import Literal

import msgspec

from backprop_tui.data.rows import Problem

#: Problems listed one by one; beyond that they are only counted.
MOST_PROBLEMS = 200
#: Problems of one code listed, so that a common one does not hide the others.
MOST_EACH = 20


class How(msgspec.Struct, frozen=True):
    """How rows are read: format or `auto`, mapping of columns, longest row in tokens, what is learnt."""

    format: str = "auto"
    columns: str = ""
    max_length: int | None = None
    train_on: Literal["answers", "everything"] = "answers"


class Part(msgspec.Struct):
    """Findings over consecutive rows. Rows of the problems count from the part's beginning.

    Attributes:
        lines: lines passed, where those of the problems count from the part's beginning too; 0 where they are the file's.
        rows: rows read, broken ones included. kept: rows that can be used.
        dropped: rows left out, by reason. formats, purposes: kept rows by format and by what they are for.
        problems: the first ones. problem_counts: all of them, by code. errors: how many of them are errors.
        digests: 16 bytes for each kept row's content. characters, tokens: 4 bytes for each kept row (little endian);
            tokens are counted before cutting.
        trained: tokens that are learnt. quoted: rows that quote control tokens.
        cut_rows, cut_tokens: rows longer than the limit, and what they lose.
        sensitive: rows with personal data or secrets, by kind.
        chats: whether any kept row has turns.
    """

    lines: int = 0
    rows: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    formats: dict[str, int] = {}
    purposes: dict[str, int] = {}
    problems: list[Problem] = []
    problem_counts: dict[str, int] = {}
    errors: int = 0
    digests: bytes = b""
    characters: bytes = b""
    tokens: bytes = b""
    trained: int = 0
    cut_rows: int = 0
    cut_tokens: int = 0
    quoted: int = 0
    sensitive: dict[str, int] = {}
    chats: bool = False
