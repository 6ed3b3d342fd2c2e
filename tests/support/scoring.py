"""Scoring in tests: rows to score, the processes that do it, and a word at a stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from backprop_tui.config import paths
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.finding.places import resolve
from backprop_tui.data.selection import rows_at, scan
from backprop_tui.launch.scorer import COMMAND
from backprop_tui.launch.scoring import Stage
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.spec import DataPart


def write(place: Path, rows: list[dict[str, Any]]) -> str:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(place)


def asked(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def at(stage: Stage, do: Callable[[], Any]) -> Callable[[Stage, int, int | None], None]:
    """Progress that does something once, when a stage is reached."""
    waiting = [do]

    def progress(now: Stage, done: int, total: int | None) -> None:
        if now == stage and waiting:
            waiting.pop()()

    return progress


def scorers(of: psutil.Process | None = None) -> list[psutil.Process]:
    return [child for child in (of or psutil.Process()).children() if COMMAND[-1] in child.cmdline()]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "backprop_tui.data.children" in child.cmdline()]


def one_line(error: BackpropError) -> bool:
    return bool(error.code and error.cause and error.next_step) and str(error).isprintable()


def encoded(data: str, what: Any) -> list[Any]:
    files = resolve(data)
    part = DataPart()
    with RemoteTokenizer(paths.demo_model_dir()) as tokenizer:
        rows = list(rows_at(files, part, set(scan(files, part).kept)))
        return tokenizer.encode_many(rows, max_length=2048, train_on=what)


def by_hand(model: Any, row: Any) -> float:
    """One row alone, unpadded, the way the transformers documentation computes a loss."""
    import torch

    labels = [token if learnt else -100 for token, learnt in zip(row.ids, row.trained, strict=True)]
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([labels])).loss)
