"""One hostile case: how it is built, and what must come of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

#: What files outside the given path hold; it may never turn up in a row.
SECRET = "TOP-SECRET-OUTSIDE"

GOOD = '{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"good day"}]}'
CHAT = GOOD.encode() + b"\n"


@dataclass(frozen=True)
class Case:
    """What is built, what is typed, and the verdict.

    Args:
        id: unique, readable.
        file: name of the file that `content` is written to.
        content: its bytes, or a function that gives them or builds anything at all in the case's folder.
        words: what is typed, `{}` standing for the folder; empty is the file.
        error: code of the error that ends the reading; empty if the data can be read to its end.
        kept: rows that can be trained on.
        dropped: how often which code drops a row. Rows in are `kept` plus these, unless `error` ends the reading.
        notes: codes said of the file as a whole.
    """

    id: str
    file: str
    content: bytes | Callable[[Path], bytes | None]
    words: str = ""
    error: str = ""
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def build(case: Case, folder: Path) -> str:
    """Write a case into an empty folder inside of which, and beside which, nothing else lies; returns the words."""
    inside = folder / "given"
    inside.mkdir()
    (folder / "outside.jsonl").write_text(GOOD.replace("hello", SECRET) + "\n")
    data = case.content(inside) if callable(case.content) else case.content
    if data is not None:
        (inside / case.file).write_bytes(data)
    return case.words.replace("{}", str(inside)) or str(inside / case.file)


def line(**row: object) -> bytes:
    """One row of JSON Lines."""
    return json.dumps(row).encode() + b"\n"


def turns(*said: object, role: str = "user") -> bytes:
    """A chat row: turns of the user and the assistant in turn."""
    roles = (role, "assistant")
    return line(messages=[{"role": roles[place % 2], "content": text} for place, text in enumerate(said)])
