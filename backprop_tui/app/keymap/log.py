"""What keys do on the log, on the samples and on the list of alerts. Moving is in `moves`."""

from __future__ import annotations

from backprop_tui.app.actions import Action

LOG: tuple[Action, ...] = (
    Action("log.find", "slash", "find", "Find in the log", "Searches all of it as you type; Esc forgets it.", "Find"),
    Action("log.next", "n", "next_hit(1)", "Next hit", "The next line that holds the text."),
    Action("log.previous", "N", "next_hit(-1)", "Hit before", "The line before that holds the text."),
    Action("log.level", "v", "level", "Quietest level shown", "info, warn, error, debug, around.", "Level"),
    Action(
        "log.source", "o", "source", "Whose lines are shown", "Events, all, the worker's output, the host's.", "Source"
    ),
    Action("log.wrap", "w", "wrap", "Wrap long lines", "Or cut them at the edge."),
    Action("log.times", "t", "times", "How times are written", "Clock, since the start, date and clock."),
    Action("log.go", "colon", "go_to", "Go to…", "A step, 50%, a time of day, or #line.", show=":"),
    Action("log.chart", "enter", "to_chart", "Show its step on the chart", "The step the line belongs to."),
    Action("log.range", "space", "range", "Begin a range", "Moving extends it; y copies it."),
    Action(
        "log.copy", "y", "copy", "Copy line or range", "To the clipboard and a file; says which way it took.", "Copy"
    ),
    Action("log.back", "escape", "back", "Back", "Forgets the range, then the search, then follows.", palette=False),
)
SAMPLES: tuple[Action, ...] = (
    Action("samples.previous", "comma,left,h", "evaluation(-1)", "Evaluation before", "Its answers.", "Evals", ",/."),
    Action("samples.next", "full_stop,right", "evaluation(1)", "Next evaluation", "The last one follows the run."),
    Action("samples.newest", "f", "newest", "Newest evaluation", "And keep showing the newest."),
    Action("samples.wrap", "w", "wrap", "Wrap long answers", "Or cut them at the edge."),
    Action("samples.columns", "v", "columns", "Side by side or stacked", "Side by side needs some width.", "View"),
)
ALERTS: tuple[Action, ...] = (
    Action("alerts.jump", "enter", "choose", "Show where it happened", "Chart and log jump there."),
    Action("alerts.close", "escape,q,exclamation_mark", "close", "Close the list", "Back to the run.", palette=False),
)
ACTIONS: tuple[Action, ...] = (*LOG, *SAMPLES, *ALERTS)
