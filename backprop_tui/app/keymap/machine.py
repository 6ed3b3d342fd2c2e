"""What keys do on the machine's panel; moving between its cards is what lists share."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "machine.detail",
        "enter",
        "detail",
        "One GPU in detail",
        "Everything known of a card and of the machine; ↑ and ↓ choose another card.",
        "Detail",
    ),
)
