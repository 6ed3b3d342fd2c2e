"""What keys do on the Tune screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: Keys of the settings.
FORM: tuple[Action, ...] = (
    Action("tune.field", "down,j", "move(1)", "Next field", "Move down; ↑ or k moves up.", "Field", "↑↓", False),
    Action(
        "tune.more", "right,l", "nudge(1)", "More", "The next larger value or the next choice.", "Adjust", "←→", False
    ),
    Action("tune.less", "left,h", "nudge(-1)", "Less", "The next smaller value or the choice before.", palette=False),
    Action("tune.edit", "enter", "edit", "Edit the setting", "Type a value, or pick from a list.", "Edit"),
)
#: Keys of the screen.
SCREEN: tuple[Action, ...] = (
    Action("tune.launch", "g", "launch", "Launch the run…", "Shows what will be started, then starts it.", "Launch…"),
    Action("tune.queue", "w", "queue", "Queue the run", "Checked now; begins when those before it have ended."),
    Action("tune.undo", "u", "undo", "Undo", "Takes the last change back.", "Undo"),
    Action("tune.find", "slash", "find", "Find a setting", "By its name or its help.", "Find"),
    Action("tune.advanced", "a", "advanced", "Advanced settings", "Show or hide the rarely needed ones.", "Advanced"),
    Action("tune.save", "ctrl+s", "save", "Save as a preset", "Under a name of your own.", "Save preset"),
    Action("tune.copy", "y", "copy", "Copy the settings", "As TOML, to the clipboard.", "Copy"),
    Action("tune.reset", "U", "reset", "Reset to the preset", "Drops every change; u brings them back."),
    Action("tune.model", "m", "model", "Choose the model", "The demo, a recent one, a folder or a hub id."),
)
ACTIONS: tuple[Action, ...] = (*FORM, *SCREEN)
