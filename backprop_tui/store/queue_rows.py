"""The queue among the runs: what waits, or could not start, as lines of the list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backprop_tui.protocol.states import RunState
from backprop_tui.store.entry import Entry
from backprop_tui.store.queue import PREFIX, Queue, Queued, QueueState
from backprop_tui.store.summary import leaves

_STATES = {
    QueueState.WAITING: RunState.QUEUED,
    QueueState.STARTING: RunState.STARTING,
    QueueState.FAILED: RunState.FAILED,
}


def queue_rows(root: Path | None = None) -> list[Entry]:
    """What of the queue is no run yet, in its order. Costs one look at a directory where nothing is queued."""
    rows: list[Entry] = []
    place = 0
    for queued in Queue(root).entries():
        if queued.state is QueueState.RUNNING:
            # It is listed as the run it is.
            continue
        place += queued.state is QueueState.WAITING
        rows.append(row_of(queued, place if queued.state is QueueState.WAITING else None))
    return rows


def with_queue(entries: Sequence[Entry], rows: Sequence[Entry]) -> list[Entry]:
    """Runs with the queue before them: it has an order of its own, whatever runs are sorted by."""
    return [*rows, *entries]


def is_queued(entry_id: str) -> bool:
    """Whether a line of the list is an entry of the queue, by its id."""
    return entry_id.startswith(PREFIX)


def row_of(queued: Queued, place: int | None) -> Entry:
    """One entry as a line; figures it can't have are unknown."""
    model, data, problem = _part(queued.spec, "model"), _part(queued.spec, "data"), queued.problem or {}
    return Entry(
        id=queued.id,
        title=queued.name,
        model=str(model.get("base", "")),
        data=str(data.get("path", "")),
        method=str(model.get("method", "")),
        created=queued.added,
        state=_STATES[queued.state],
        attempt=0,
        step=0,
        total_steps=None,
        epoch=None,
        loss=None,
        grad_norm=None,
        lr=None,
        eval_loss=None,
        best=None,
        exact_match=None,
        tokens=None,
        tokens_per_s=None,
        seconds=None,
        energy_wh=None,
        updated=None,
        checkpoints=0,
        fault=str(problem.get("code", "")),
        note=f"{problem.get('cause', '')} {problem.get('next', '')}".strip(),
        experiment=str((queued.sweep or {}).get("sweep", "")),
        place=place,
        settings={**leaves(queued.spec), **(queued.sweep or {})},
    )


def _part(spec: dict[str, Any], name: str) -> dict[str, Any]:
    part = spec.get(name)
    return part if isinstance(part, dict) else {}
