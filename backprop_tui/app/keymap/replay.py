"""What keys do while a past run is played again."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action("replay.pause", "space,p", "play", "Hold or go on", "The replay, not a run.", "Hold", "Space"),
    Action("replay.faster", "greater_than_sign", "speed(2)", "Faster", "Twice the speed.", "Speed", "</>"),
    Action("replay.slower", "less_than_sign", "speed(0.5)", "Slower", "Half the speed."),
    Action("replay.seek", "percent_sign", "seek", "Go to a percentage…", "Of the run's time.", "Go to"),
    Action("replay.forward", "right_parenthesis", "skip(5)", "5 % on", "Shows at once what happened between.", "", ")"),
    Action("replay.back", "left_parenthesis", "skip(-5)", "5 % back", "Builds the run anew up to there.", "", "("),
    Action("replay.leave", "escape,q", "leave_replay", "Leave the replay", "Back to where you were.", "Back", "Esc"),
)
