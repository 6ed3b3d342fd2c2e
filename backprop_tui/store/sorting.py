"""Orders of the list of runs, the same for the screen and the command."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from backprop_tui.store.entry import Entry

#: What a list can be sorted by, each with its value; None is unknown. Newest first is the order nobody asked for.
ORDERS: dict[str, Callable[[Entry], Any]] = {
    "age": lambda run: -run.created if run.created else None,
    "state": lambda run: run.state.value,
    "name": lambda run: run.title.casefold() or None,
    "model": lambda run: run.model.casefold() or None,
    "data": lambda run: run.data.rstrip("/").rsplit("/", 1)[-1].casefold() or None,
    "id": attrgetter("short_id"),
    "step": attrgetter("step"),
    "loss": attrgetter("loss"),
    "eval": attrgetter("eval_loss"),
    "best": attrgetter("best"),
    "match": attrgetter("exact_match"),
    "tokens": attrgetter("tokens"),
    "speed": attrgetter("tokens_per_s"),
    "time": attrgetter("seconds"),
    "energy": attrgetter("energy_wh"),
    "checkpoints": attrgetter("checkpoints"),
    "tags": lambda run: " ".join(run.tags).casefold() or None,
    "experiment": lambda run: run.experiment.casefold() or None,
}
FIRST = "age"


def ordered(entries: Iterable[Entry], by: str = FIRST, *, reverse: bool = False) -> list[Entry]:
    """Runs in an order of `ORDERS`; what is not a number comes after the numbers and what is unknown last, either way."""
    value = ORDERS[by]
    known: list[tuple[Any, Entry]] = []
    odd: list[Entry] = []
    unknown: list[Entry] = []
    for entry in entries:
        found = value(entry)
        if found is None:
            unknown.append(entry)
        elif isinstance(found, float) and math.isnan(found):
            odd.append(entry)
        else:
            known.append((found, entry))
    known.sort(key=_first, reverse=reverse)
    return [entry for _, entry in known] + odd + unknown


def _first(pair: tuple[Any, Entry]) -> Any:
    return pair[0]
