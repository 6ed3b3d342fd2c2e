"""Whether this process may only look: set in the environment by whoever shows the app to others (`backprop serve`).

What changes something asks here first, deep in the program, so that no screen, key or palette can forget it.
"""

from __future__ import annotations

import os

from backprop_tui.protocol.errors import UnavailableError

VARIABLE = "BACKPROP_VIEW_ONLY"


def view_only() -> bool:
    """Whether changes are refused."""
    return bool(os.environ.get(VARIABLE))


def refuse_if_view_only() -> None:
    """Guard of everything that changes a run, a file of the person or a setting.

    Raises:
        UnavailableError: VIEW_ONLY.
    """
    if view_only():
        raise UnavailableError(
            "VIEW_ONLY", "This view only watches.", "`backprop serve --control` lets it change things."
        )
