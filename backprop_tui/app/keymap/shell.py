"""What keys do on every screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action("shell.data", "1", "go('data')", "Go to Data", "Pick and check a dataset."),
    Action("shell.tune", "2", "go('tune')", "Go to Tune", "Pick a preset, change settings, launch."),
    Action("shell.run", "3", "go('run')", "Go to Run", "Watch one run live or look at a past one."),
    Action("shell.runs", "4", "go('runs')", "Go to Runs", "All runs with state, model, data and loss."),
    Action("shell.panel", "tab", "next_panel", "Next panel", "Move the focus to the next panel.", palette=False),
    Action("shell.panel_back", "shift+tab", "previous_panel", "Previous panel", "Move it back.", palette=False),
    Action("shell.jump", "apostrophe", "jump", "Jump to…", "Letters on every panel and entry; press one.", show="'"),
    Action("shell.theme", "f2", "change_theme", "Choose a theme…", "Seen as you move; Esc goes back.", show="F2"),
    Action("shell.settings", "f3,comma", "settings", "Settings…", "Everything that can be set, and where from."),
    Action("shell.profile", "f4", "next_profile", "Next profile", "local, ssh, low: how much is sent."),
    Action(
        "shell.leave", "q,ctrl+q", "leave", "Leave the app", "A run goes on without it; come back any time.", "Leave"
    ),
    Action("shell.interrupt", "ctrl+c", "interrupt", "Interrupt", "Says how to leave and how to stop.", palette=False),
    Action("shell.help", "question_mark", "help", "Help", "Every key of this screen.", "Help", "?"),
    Action(
        "shell.palette", "ctrl+p", "command_palette", "Commands", "Find any action by name.", "Commands", "^P", False
    ),
)
