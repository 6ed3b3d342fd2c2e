"""How the data of two runs differs, from what each noted of it. No data is read."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.versions.changes import compare
from backprop_tui.protocol.errors import DataError
from backprop_tui.store.layout import RunDir


def noted_data(run: RunDir) -> dict[str, Any] | None:
    """The fingerprint of what a run trained on, else what its data was at the launch; None when nothing was noted."""
    found = run.read_dataset()
    if found is not None:
        return found
    try:
        return run.read_launched()
    except DataError:
        return None


def data_lines(first: RunDir, other: RunDir) -> list[str] | None:
    """The differences, one line each, harmless; [] when there are none, None when a run didn't note its data."""
    before, after = noted_data(first), noted_data(other)
    if before is None or after is None:
        return None
    found = compare(before, after)
    return [] if found.same else found.lines()
