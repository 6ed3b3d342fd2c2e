"""What an app that may only watch leaves out. The refusals deep in the program count; this keeps keys from promising them."""

from __future__ import annotations

from backprop_tui.config.view_only import view_only

#: Whole scopes and single actions that change something, or read what is not of a run.
_SCOPES = frozenset({"data", "tune", "settings"})
_ACTIONS = frozenset({
    "run.pause", "run.save", "run.evaluate", "run.stop", "run.rate", "run.resume", "run.halve", "chart.export",
    "runs.resume", "runs.delete", "checkpoints.pin", "checkpoints.resume", "checkpoints.fork",
    "runs.tags", "runs.note", "runs.rename", "runs.experiment", "runs.archive", "shell.data", "shell.tune", "shell.settings",
    "shell.theme",
})  # fmt: skip
_ROOMS = frozenset({"data", "tune"})

WORDS = "This view only watches; `backprop serve --control` lets it change things."


def refused(action_id: str) -> bool:
    """Whether an action has no place in this process."""
    return view_only() and (action_id in _ACTIONS or action_id.partition(".")[0] in _SCOPES)


def room_refused(room: str) -> bool:
    """Whether a room has no place in this process: Data reads any file, Tune launches."""
    return view_only() and room in _ROOMS
