"""A multi-run as people see it: its runs, merges and matrix, folded from events into JSON-ready words."""

from __future__ import annotations

from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.matrix import Transfer, transfer


def fold(known: dict[str, Any], event: Event) -> None:
    """Take one `stage`, `merge` or `matrix` event in.

    A later attempt may tell a run again: its words take the place of the earlier ones.

    Args:
        known: `of`, `stages` and `merges` by index (as text), `tasks`, and `rows` by index; empty before the first event.
        event: with its payload as in `protocol.payloads`.
    """
    data = event.data
    try:
        number_of = int(data["index"])
        if event.kind == ev.STAGE:
            of, words = int(data["of"]), {**data, "first_step": int(data["first_step"])}
            known["of"], known["run"] = of, number_of
            known.setdefault("stages", {})[str(number_of)] = words
        elif event.kind == ev.MERGE:
            known.setdefault("merges", {})[str(number_of)] = {**data, "step": int(data["step"])}
        else:
            tasks, losses = [str(name) for name in data["tasks"]], [number(value) for value in data["losses"]]
            known["tasks"] = tasks
            known.setdefault("rows", {})[str(number_of)] = losses
    except (KeyError, TypeError, ValueError):
        # A foreign or damaged run directory may hold anything; what does not fit changes nothing.
        return


def forget_from(known: dict[str, Any], step: int) -> None:
    """Drop what was told of steps after `step`: an attempt goes on from there and will tell it again."""
    merges = known.get("merges", {}).items()
    known["merges"] = {index: words for index, words in merges if words["step"] <= step}
    kept = known["merges"].keys() | {"0"}
    known["rows"] = {index: row for index, row in known.get("rows", {}).items() if index in kept}
    known["stages"] = {
        index: words for index, words in known.get("stages", {}).items() if words["first_step"] <= step + 1
    }


def rows_of(known: dict[str, Any]) -> list[list[float | None]]:
    """The matrix in order, the base's row first; ends before the first row that is missing."""
    rows = known.get("rows", {})
    found: list[list[float | None]] = []
    while (row := rows.get(str(len(found)))) is not None:
        found.append(row)
    return found


def figures_of(known: dict[str, Any]) -> Transfer:
    """Average, forgetting and backward transfer so far."""
    return transfer(rows_of(known))


def boundaries(known: dict[str, Any]) -> list[int]:
    """Global steps after which a run begins, the first run's left out."""
    starts = (words["first_step"] - 1 for words in known.get("stages", {}).values())
    return sorted({start for start in starts if start > 0})
