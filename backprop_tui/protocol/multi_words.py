"""A multi-run in sentences and as a table: the same in the log, in `train`'s lines, in `show` and on the Run screen.

Foreign text in it is made harmless here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.codec import number
from backprop_tui.protocol.multi_view import figures_of, rows_of
from backprop_tui.protocol.text import safe_text

UNKNOWN = "–"


def stage_sentence(data: Mapping[str, Any]) -> str | None:
    """A run begins; None for its end, of which the merge tells."""
    if data.get("status") != "begin":
        return None
    replayed = number(data.get("replayed"))
    again = f", {_count(replayed)} of them from earlier runs" if replayed else ""
    rate = number(data.get("lr"))
    return (
        f"run {_count(data.get('index'))} of {_count(data.get('of'))}: {safe_text(data.get('name', ''), limit=80)}, "
        f"{_count(data.get('rows'))} rows{again}, lr {UNKNOWN if rate is None else f'{rate:.3g}'}, "
        f"steps {_count(data.get('first_step'))} to {_count(data.get('last_step'))}"
    )


def merge_sentence(data: Mapping[str, Any]) -> str:
    """What became of a run's adapter."""
    share, drift = number(data.get("share")), number(data.get("drift"))
    figures = "".join(f"  {sign} {value:.3f}" for sign, value in (("λ", share), ("drift", drift)) if value is not None)
    index, strategy = _count(data.get("index")), safe_text(data.get("strategy", ""), limit=40)
    if data.get("accepted"):
        return f"run {index} merged by {strategy}{figures}"
    return f"run {index} not merged, the delivered adapter is as it was: {safe_text(data.get('reason', ''), limit=200)}{figures}"


def summary_sentence(known: Mapping[str, Any]) -> str:
    """Average, forgetting and backward transfer; – for what can't be said."""
    found = figures_of(dict(known))
    return (
        f"average loss {loss(found.average)} (base {loss(found.base)})  forgetting {loss(found.forgetting)}  "
        f"backward transfer {loss(found.backward)}"
    )


def table(known: Mapping[str, Any]) -> list[list[str]]:
    """The matrix as cells: a heading of tasks, then a line for the base and one for every run.

    Each line is name, λ, drift, and the loss on each task.
    """
    tasks = [safe_text(name, limit=40) for name in known.get("tasks", ())]
    lines = [["after", "λ", "drift", *(short(name) for name in tasks)]]
    merges = known.get("merges", {})
    for index, row in enumerate(rows_of(dict(known))):
        merge = merges.get(str(index), {})
        refused = index > 0 and not merge.get("accepted", True)
        name = "base" if index == 0 else f"run {index}{' refused' if refused else ''}"
        lines.append([name, loss(merge.get("share")), loss(merge.get("drift")), *map(loss, row)])
    return lines


def short(name: str, cells: int = 12) -> str:
    """The end of a task's name, which tells it from others: of a file its name without folders and ending."""
    last = name.rstrip("/").rsplit("/", 1)[-1]
    stem, dot, ending = last.rpartition(".")
    last = stem if dot and stem and ending.isalnum() and len(ending) <= 7 else last
    return last if len(last) <= cells else f"…{last[1 - cells :]}"


def loss(value: Any) -> str:
    """Three digits after the point; nan and inf by name, unknown as –."""
    known = number(value)
    if known is None:
        return UNKNOWN
    return f"{known:.3f}" if math.isfinite(known) else str(known)


def _count(value: Any) -> str:
    known = number(value)
    return UNKNOWN if known is None or not math.isfinite(known) else f"{int(known):,}"
