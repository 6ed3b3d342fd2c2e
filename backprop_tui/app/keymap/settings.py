"""What keys do on the settings screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: Keys of the list.
TABLE: tuple[Action, ...] = (
    Action("settings.edit", "enter,space", "choose", "Change the setting", "Pick, switch, or type a value.", "Change"),
    Action("settings.more", "right,l", "screen.nudge(1)", "Next choice", "At once.", "Adjust", "←→", False),
    Action("settings.less", "left,h", "screen.nudge(-1)", "Choice before", "At once.", palette=False),
)
#: Keys of the screen.
SCREEN: tuple[Action, ...] = (
    Action("settings.reset", "r,delete", "reset", "Back to the default", "Takes it out of settings.toml.", "Default"),
    Action("settings.copy", "y", "copy", "Copy the file's path", "Of settings.toml.", "Copy path"),
    Action("settings.close", "escape,q", "close", "Close the settings", "Back to the room.", "Back", "Esc", False),
)
ACTIONS: tuple[Action, ...] = (*TABLE, *SCREEN)
