"""What keys do on a chart."""

from __future__ import annotations

from backprop_tui.app.actions import Action

ACTIONS: tuple[Action, ...] = (
    Action("chart.cursor", "c", "cursor", "Crosshair", "Exact values of all curves at one step; again: off.", "Values"),
    Action("chart.layout", "g", "layout", "One, grid, overlay", "One metric, a grid of small charts, or several laid over."),
    Action("chart.alone", "enter", "alone", "Metric alone or grid", "The selected metric of the grid alone, and back."),
    Action("chart.next", "n", "metric_step(1)", "Next metric", "Any number the run has recorded, one after the other."),
    Action("chart.previous", "N", "metric_step(-1)", "Previous metric", "The other way round."),
    Action("chart.over", "o", "overlay", "Lay a metric over…", "Up to four, each unit with its own y scale."),
    Action("chart.log", "y", "y_scale", "Linear or log y", "Values not above zero become gaps and are counted."),
    Action("chart.tight", "t", "tight", "Tight y axis", "Fits all but outliers, which are cut at its edge with a sign."),
    Action("chart.axis", "a", "x_axis", "x: step, tokens, time, epoch", "Time is by the clock, pauses included."),
    Action("chart.smooth", "k", "smoothing", "Smoothing", "Raw; EMA 0.6, 0.9, 0.97, 0.99; median of 9, of 25."),
    Action("chart.in", "plus,equals_sign", "zoom(2)", "Zoom in", "Half the range; so does the wheel.", show="+"),
    Action("chart.out", "minus", "zoom(0.5)", "Zoom out", "Twice the range.", show="-"),
    Action(
        "chart.left", "left,h", "sideways(-1)", "Left", "The crosshair by a point; without one, a quarter.", palette=False
    ),
    Action(
        "chart.right", "right", "sideways(1)", "Right", "The crosshair by a point; without one, a quarter.", palette=False
    ),
    Action("chart.left_far", "shift+left,H", "sideways(-1,1)", "Far left", "Ten points, or the whole view.", palette=False),
    Action(
        "chart.right_far", "shift+right,L", "sideways(1,1)", "Far right", "Ten points, or the whole view.", palette=False
    ),
    Action("chart.first", "home", "edge(-1)", "Beginning", "The crosshair or the view at the first step.", palette=False),
    Action("chart.last", "end", "edge(1)", "End", "The crosshair or the view at the newest step.", palette=False),
    Action("chart.up", "up", "row(-1)", "Metric above", "Selects in the grid.", palette=False),
    Action("chart.down", "down", "row(1)", "Metric below", "Selects in the grid.", palette=False),
    Action(
        "chart.mark_back", "left_square_bracket", "mark(-1)", "Mark before",
        "○ eval ◆ save ‖ pause » restart ! alert ✗ fault ■ end",
    ),
    Action("chart.mark", "right_square_bracket", "mark(1)", "Next mark", "The crosshair on the next of these."),
    Action("chart.fit", "0", "fit", "Fit everything", "The whole run; drag with the mouse to choose a range."),
    Action("chart.back", "escape", "back", "Back", "Crosshair off, then zoom off, then one chart.", palette=False),
    Action("chart.export", "E", "export", "Save the chart…", "What is seen, as .svg, .png or .csv; never overwrites."),
)  # fmt: skip
