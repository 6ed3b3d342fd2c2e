"""What keys do on the Run screen; its chart and its log have tables of their own."""

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
    Action(
        "run.halve",
        "R",
        "halve_rate",
        "Resume with half the learning rate",
        "From its newest checkpoint; what to do after a loss that was no number.",
        "Resume, lr/2",
    ),
    Action("run.metric", "m", "metric", "Choose the metric…", "Any number the run has recorded.", "Metric"),
    Action(
        "run.over",
        "v",
        "lay_over",
        "Lay another run over…",
        "Its curve of the same metric, with its own colour and sign.",
    ),
    Action("run.samples", "b", "samples", "Before and after", "Answers of the base and the tuned model.", "Samples"),
    Action(
        "run.matrix",
        "M",
        "matrix",
        "Runs and matrix…",
        "Of a multi-run: each merge with λ and drift, and the loss on every task after it.",
        "Matrix",
    ),
    Action("run.replay", "P", "replay", "Play it again", "From its beginning, 20 times as fast; > is faster."),
    Action("run.zoom", "z", "zoom_panel", "Fill the screen", "The focused panel alone, or all again.", "Zoom"),
    Action("run.follow", "f", "follow", "Follow the newest", "Chart and log keep showing the newest.", "Follow"),
    Action(
        "run.alerts", "exclamation_mark", "alerts", "Alerts…", "What went wrong or looks odd, newest first.", show="!"
    ),
)
