"""What keys do on the Data screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: Keys of the list.
TABLE: tuple[Action, ...] = (
    Action("data.down", "down,j", "move(1)", "Next file", "Move down; ↑ or k moves up.", "Move", "↑↓", False),
    Action("data.use", "enter", "choose", "Use the dataset", "Goes on to Tune; a folder is opened.", "Use"),
)
#: Keys of the screen.
SCREEN: tuple[Action, ...] = (
    Action("data.open", "o", "open", "Open a path…", "Type a file or a folder.", "Open…"),
    Action("data.filter", "slash", "filter", "Filter the list", "Show only names that contain a text.", "Filter"),
    Action("data.next", "n", "row(1)", "Next row", "Look at the next row.", "Row", "n/p"),
    Action("data.previous", "p", "row(-1)", "Previous row", "Look at the row before."),
    Action("data.row", "g", "go_to", "Go to a row…", "By its number.", "Go to"),
    Action("data.random", "r", "random", "A random row", "Look at any row.", "Random"),
    Action("data.raw", "t", "raw", "Raw or rendered", "The row as in the file, or as it is read.", "Raw"),
    Action("data.up", "backspace", "up", "Folder above", "List the folder above."),
)
ACTIONS: tuple[Action, ...] = (*TABLE, *SCREEN)
