"""What keys do on the Data screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = ()
