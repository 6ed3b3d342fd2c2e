"""What the probe found, in one sentence for every place that tells it: memory expected beside memory measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.codec import number


def probe_sentence(data: Mapping[str, Any]) -> str:
    """`the longest 4 rows (47 tokens) went through: 40 MB of tensors expected, 44 MB reserved` of a probe's payload."""
    expected, measured = number(data.get("expected")), number(data.get("measured"))
    rows, longest = number(data.get("rows")), number(data.get("longest"))
    if data.get("stage") == "step":
        lead = "a whole step's memory"
    elif rows is None or longest is None:
        lead = "the longest rows went through"
    else:
        lead = f"the longest {rows:,.0f} {'row' if rows == 1 else 'rows'} ({longest:,.0f} tokens) went through"
    said = []
    if expected is not None:
        said.append(f"{_megabytes(expected)} of tensors expected")
    if measured is not None:
        said.append(f"{_megabytes(measured)} reserved")
    return f"{lead}: {', '.join(said)}" if said else lead


def _megabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
