"""What keys do on the Compare screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action("compare.metric", "m", "metric", "Choose the metric…", "What the curves show.", "Metric"),
    Action(
        "compare.outcome",
        "w",
        "outcome",
        "What is to be explained",
        "Best eval loss, train loss, speed, energy, …",
        "Why",
    ),
    Action(
        "compare.reference",
        "b",
        "reference",
        "Compare with the next run",
        "Data and values against another run.",
        "Base",
    ),
    Action("compare.zoom", "z", "zoom_panel", "Fill the screen", "The focused panel alone, or both again.", "Zoom"),
    Action("compare.copy", "Y", "copy", "Copy the comparison", "Figures, settings, data and reasons as text.", "Copy"),
    Action("compare.back", "escape", "back", "Back to the runs", "Leaves the comparison; ticks stay.", "Back", "Esc"),
)
