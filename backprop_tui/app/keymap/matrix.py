"""What keys do on the sheet of a multi-run. Moving is in `moves`."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action("matrix.close", "escape,q,M", "close", "Close the sheet", "Back to the run.", palette=False),
)
