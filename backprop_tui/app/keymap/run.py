"""What keys do on the Run screen, its chart and its log."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "run.pause", "p", "pause", "Pause or go on", "Holds training at the end of the step; p again goes on.", "Pause"
    ),
    Action("run.save", "s", "save", "Save now", "Writes a checkpoint at the end of the step.", "Save now"),
    Action("run.evaluate", "e", "evaluate", "Evaluate now", "Measures on the held-out rows.", "Eval now"),
    Action("run.stop", "x", "stop", "Stop…", "Asks first; offers to save and stop.", "Stop…"),
    Action("run.rate", "l", "learning_rate", "Set learning rate…", "Takes effect at the next step."),
    Action("run.resume", "r", "resume_run", "Resume the run", "Goes on from its newest checkpoint.", "Resume"),
    Action("run.metric", "m", "metric", "Choose the metric…", "Any number the run has recorded.", "Metric"),
    Action("run.samples", "b", "samples", "Before and after", "Answers of the base and the tuned model.", "Samples"),
    Action("run.zoom", "z", "zoom_panel", "Fill the screen", "The focused panel alone, or all again.", "Zoom"),
    Action("run.follow", "f", "follow", "Follow the newest", "Chart and log keep showing the newest.", "Follow"),
    Action("chart.log", "y", "y_scale", "Linear or log y", "A log axis needs values above zero."),
    Action("chart.axis", "a", "x_axis", "x: step, tokens, time", "What the chart runs along."),
    Action("chart.smooth", "k", "smoothing", "Smoothing", "EMA weight 0, 0.6, 0.9, 0.97."),
    Action("chart.in", "plus,equals_sign", "zoom(2)", "Zoom in", "Half the range.", show="+"),
    Action("chart.out", "minus", "zoom(0.5)", "Zoom out", "Twice the range.", show="-"),
    Action("chart.left", "left", "pan(-0.25)", "Pan left", "A quarter of the range.", palette=False),
    Action("chart.right", "right", "pan(0.25)", "Pan right", "A quarter of the range.", palette=False),
    Action("chart.fit", "0", "fit", "Fit everything", "The whole run, from its first step."),
    Action("log.top", "home", "top", "Oldest line", "Jumps to the first line.", palette=False),
    Action("log.bottom", "end", "bottom", "Newest line", "Jumps to the last line and follows.", palette=False),
)
