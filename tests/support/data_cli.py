"""`backprop data …` as a process, and small files of chats for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.terminal import backprop as run_backprop


def data(*argv: str | Path, **env: str) -> tuple[int, str, str]:
    done = run_backprop("data", *map(str, argv), **env)
    return done.returncode, done.stdout, done.stderr


def facts(*argv: str | Path, code: int = 0) -> dict[str, Any]:
    got, printed, said = data(*argv, "--json")
    assert got == code, (printed, said)
    assert printed.isascii()
    return dict(json.loads(printed))


def chat(number: int, answer: str = "", **more: Any) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": f"What is {number}?"},
        {"role": "assistant", "content": answer or f"It is {number}."},
    ]
    return {"messages": turns, "id": number, **more}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
