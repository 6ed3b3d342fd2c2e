"""Movement that every list, table and text shares. A letter here gives way to the same letter of the room around it."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: A letter of its own: where the room around the list has a g, that one answers.
TOP = Action("list.top", "g", "top_letter", "First, as in vim", "Where g means nothing else here.", palette=False)
#: Keys of anything that scrolls by lines.
LINES: tuple[Action, ...] = (
    Action("list.up", "up,k", "move(-1)", "Up", "One line or one entry up.", palette=False),
    Action("list.down", "down,j", "move(1)", "Down", "One line or one entry down.", palette=False),
    Action("list.page_up", "pageup,ctrl+u", "page(-1)", "Page up", "One view up.", palette=False),
    Action("list.page_down", "pagedown,ctrl+d", "page(1)", "Page down", "One view down.", palette=False),
    Action("list.first", "home", "edge(-1)", "First", "To the first line or entry.", palette=False),
    Action("list.last", "end,G", "edge(1)", "Last", "To the last line or entry.", palette=False),
    TOP,
)
ACTIONS: tuple[Action, ...] = LINES
