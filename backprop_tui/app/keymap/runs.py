"""What keys do on the Runs screen."""

from __future__ import annotations

from backprop_tui.app.actions import Action

#: Keys of the list.
TABLE: tuple[Action, ...] = (
    Action("runs.open", "enter", "choose", "Open the run", "Watch it live, or look at a past one.", "Open"),
    Action("runs.tick", "space", "tick", "Tick the run", "Ticked runs are compared, tagged or archived together.", "Tick"),
    Action("runs.untick", "u", "untick", "Untick all", "Takes every tick away."),
    Action("runs.close", "left,h", "fold(0)", "Fold the group", "Leaves only the heading of an experiment.", palette=False),
    Action("runs.unfold", "right,l", "fold(1)", "Unfold the group", "Shows the runs of an experiment.", palette=False),
)  # fmt: skip
#: Keys of the screen.
SCREEN: tuple[Action, ...] = (
    Action("runs.compare", "c", "compare", "Compare ticked runs", "Curves, settings, data, and what explains it.", "Compare"),
    Action(
        "runs.filter", "slash", "filter", "Filter runs",
        "Such as loss<1.2 state:failed model~qwen age<7d tag:good lr>=1e-4 has:eval !archived.", "Filter",
    ),
    Action("runs.resume", "r", "resume", "Resume the run", "Goes on from the newest good checkpoint.", "Resume"),
    Action(
        "runs.checkpoints", "C", "checkpoints", "Checkpoints…",
        "Those of the run: pin one, go on from one, fork a run from one.", "Checkpoints",
    ),
    Action("runs.replay", "P", "replay", "Play it again", "From its beginning, 20 times as fast; > is faster."),
    Action("runs.tags", "t", "tags", "Tags…", "Change the tags of the run, or add to those of all ticked.", "Tags"),
    Action("runs.delete", "d,delete", "delete", "Delete the run…", "Asks first; a live run is refused.", "Delete…"),
    Action("runs.note", "n", "note", "Note…", "Some lines of your own about the run."),
    Action("runs.rename", "R", "rename", "Rename…", "Calls the run otherwise; its own name is kept."),
    Action("runs.experiment", "e", "experiment", "Experiment…", "Puts the run, or all ticked, into a group."),
    Action("runs.archive", "a", "archive", "Archive, or list again", "Leaves the run, or all ticked, out of the list."),
    Action("runs.archived", "A", "archived", "Show archived runs", "Among the others, or not."),
    Action("runs.group", "z", "group", "Group by experiment", "Under headings that fold with ← and →."),
    Action("runs.sort", "s", "sort", "Sort by the next column", "A click on a column title sorts as well.", "Sort"),
    Action("runs.sort_by", "o", "sort_by", "Sort by…", "Any figure of the list."),
    Action("runs.reverse", "S", "reverse", "Reverse the order", "The other end first."),
)  # fmt: skip
#: Keys of the queue, which stands before the runs.
QUEUE: tuple[Action, ...] = (
    Action("runs.queue_up", "K,shift+up", "queue_move('up')", "Earlier in the queue", "Before the one above it.", "Earlier"),
    Action("runs.queue_down", "J,shift+down", "queue_move('down')", "Later in the queue", "Behind the one below it.", "Later"),
    Action("runs.queue_first", "T", "queue_move('first')", "First in the queue", "Before all that wait."),
    Action("runs.queue_now", "N", "queue_now", "Start it now", "Beside whatever runs, also one that could not start.", "Now"),
    Action("runs.queue_hold", "H", "queue_hold", "Hold the queue, or let it go", "Held, nothing more begins; what runs goes on."),
)  # fmt: skip
#: Keys of the line under the list.
FILTER: tuple[Action, ...] = (
    Action("runs.complete", "tab", "complete", "Complete the word", "Takes the first of what fits.", palette=False),
)
#: Keys of the list of a run's checkpoints.
CHECKPOINTS: tuple[Action, ...] = (
    Action("checkpoints.pin", "p", "pin", "Pin, or unpin", "A pinned one stays, whatever caps would do.", palette=False),
    Action("checkpoints.resume", "r", "resume_here", "Resume from here", "An earlier one becomes its own run.", palette=False),
    Action("checkpoints.fork", "f", "fork", "Fork from here…", "A run of its own, with the settings you change.", palette=False),
)  # fmt: skip
ACTIONS: tuple[Action, ...] = (*TABLE, *SCREEN, *QUEUE, *FILTER, *CHECKPOINTS)
