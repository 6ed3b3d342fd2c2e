"""What keys do on the Runs screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: Keys of the table.
TABLE: tuple[Action, ...] = (
    Action("runs.down", "down,j", "move(1)", "Next run", "Move down; ↑ or k moves up.", "Move", "↑↓", False),
    Action("runs.open", "enter", "choose", "Open the run", "Watch it live, or look at a past one.", "Open"),
)
#: Keys of the screen.
SCREEN: tuple[Action, ...] = (
    Action("runs.resume", "r", "resume", "Resume the run", "Goes on from the newest good checkpoint.", "Resume"),
    Action("runs.delete", "d,delete", "delete", "Delete the run…", "Asks first; a live run is refused.", "Delete…"),
    Action("runs.filter", "slash", "filter", "Filter runs", "Show only runs that contain a text.", "Filter"),
    Action("runs.sort", "s", "sort", "Sort by the next column", "By newest, state, name, model, step, loss.", "Sort"),
    Action("runs.reverse", "S", "reverse", "Reverse the order", "Largest first or smallest first."),
)
ACTIONS: tuple[Action, ...] = (*TABLE, *SCREEN)
