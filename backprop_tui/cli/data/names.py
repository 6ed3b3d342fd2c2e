"""Names of columns, gathered while rows pass, for saying what there is instead of a column that there is not."""

from __future__ import annotations

import difflib
from typing import Any

from backprop_tui.protocol.text import safe_text

#: Names remembered; files with more columns than this are seldom meant to have them.
_MOST = 1000


class Names:
    """The columns of the rows that passed."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def add(self, value: Any) -> None:
        """The columns of one more row."""
        if isinstance(value, dict) and len(self.known) < _MOST and not self.known.issuperset(value):
            self.known.update(map(str, value))

    def lack(self, name: str) -> tuple[str, str]:
        """What to say of a column that no row has: cause and next step."""
        near = difflib.get_close_matches(name, self.known, n=1)
        listed = ", ".join(safe_text(entry, limit=40) for entry in sorted(self.known)[:12])
        step = f"There are {listed}." if listed else "The rows have no columns."
        if near:
            step = f"Did you mean {safe_text(near[0], limit=60)!r}?"
        return f"No row has a column {safe_text(name, limit=60)!r}.", step
