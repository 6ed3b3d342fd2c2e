"""What a chart shows, as a file: SVG or PNG as a picture, CSV as numbers. Never over a file that is there.

A picture is made of the same `Plot`s as the one on the screen, in the colours of the theme. PNG needs no library: pixels are
numpy arrays and `png.py` writes them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.widgets.chart_parts import Curve, Plot
from backprop_tui.app.widgets.decimate import first_at
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.app.screens.room import Room
    from backprop_tui.app.widgets.chart import Chart

#: Roles whose colours a picture needs.
_ROLES = ("text", "muted", "grid", "faint", "accent", "warn", "bad", *(f"series-{slot}" for slot in range(1, 9)))


@dataclass(frozen=True, slots=True)
class Picture:
    """What to draw: plots in a grid of `across` columns, a heading, and colours as `#rrggbb` by role and `ground`."""

    heading: str
    plots: tuple[Plot, ...]
    across: int
    colors: dict[str, str]


def ask_and_export(screen: Room, chart: Chart, name: str) -> None:
    """Ask where, write in a thread, say what came of it. `name` is the run's; it heads the picture and makes the file's name."""
    from textual.content import Content

    from backprop_tui.app.widgets.modal import PromptModal

    model = chart.model
    picture = Picture(
        safe_text(f"{name} · {model.title}", limit=120), tuple(model.plots()),
        model.grid[0] if model.state.layout == "grid" else 1, colors_of(chart),
    )  # fmt: skip

    def write(text: str | None) -> None:
        if not text:
            return
        file = Path(text).expanduser().absolute()

        def work(_: Cancelled) -> tuple[Path, int]:
            return file, export(picture, file)

        def done(result: tuple[Path, int]) -> None:
            where = safe_text(result[0], limit=300)
            screen.say(f"Wrote {where} ({max(1, round(result[1] / 1000)):,} kB).", "good")

        screen.say("Writing…")
        in_thread(screen, work, done, lambda error: screen.say(str(error), "bad"), group="chart-export")

    stem = "".join(sign if sign.isalnum() else "-" for sign in f"{name}-{model.title}".lower())
    stem = "-".join(part for part in stem.split("-") if part)[:60] or "chart"
    body = Content(
        "What is seen now, as a file ending in .svg, .png or .csv. A file that is there is never overwritten."
    )
    prompt = PromptModal(Content("save the chart"), body, value=str(Path.cwd() / f"{stem}.svg"), check=_problem)
    screen.app.push_screen(prompt, write)


def _problem(text: str) -> str | None:
    if not text:
        return "Type a file name, or leave with Esc."
    file = Path(text).expanduser()
    if file.suffix.lower() not in _WRITERS:
        return "End the name with .svg, .png or .csv."
    if not file.absolute().parent.is_dir():
        return "There is no such folder."
    return "That file is there already; choose another name." if file.exists() else None


def colors_of(chart: Chart) -> dict[str, str]:
    """The theme's colours as a picture needs them; a theme of the terminal's own colours gets stand-ins."""
    from textual.color import Color, ColorParseError

    variables, theme = chart.app.theme_variables, chart.app.current_theme
    found = {"ground": "#121417" if theme.dark else "#fafafa"}
    for role in ("ground", *_ROLES):
        words = variables.get("background" if role == "ground" else f"bp-{role}", "")
        try:
            color = Color.parse(words)
        except ColorParseError:
            continue
        if color.ansi is None and color.a:
            found[role] = color.hex6.lower()
    plain = "#d7d7d7" if theme.dark else "#262626"
    stand_ins = dict(zip((f"series-{slot}" for slot in range(1, 9)), _STAND_INS[theme.dark], strict=True))
    return {
        role: found.get(role, stand_ins.get(role, "#8f969f" if role in _QUIET else plain))
        for role in ("ground", *_ROLES)
    }


_QUIET = ("muted", "grid", "faint")
#: Series of the default themes, for themes that leave their colours to the terminal.
_STAND_INS = {
    True: ("#5fafff", "#ffd75f", "#87ffd7", "#d75f87", "#5faf5f", "#ffafd7", "#d7ffaf", "#af5fff"),
    False: ("#005faf", "#87005f", "#87875f", "#ff0000", "#870000", "#875fff", "#5f8787", "#875f5f"),
}


def export(picture: Picture, file: Path) -> int:
    """Write a picture to a new file and return its size in bytes; the name's ending decides the format.

    Raises:
        UsageError: CHART_FORMAT (another ending), CHART_EXISTS (the file is there).
        OSError: the disk's own words.
    """
    writer = _WRITERS.get(file.suffix.lower())
    if writer is None:
        raise UsageError("CHART_FORMAT", f"A chart can't be written as {safe_text(file.suffix or file.name)!r}.",
                         "End the name with .svg, .png or .csv.")  # fmt: skip
    data = writer(picture)
    try:
        # Exclusive: a file that appeared since the question was answered stays as it is.
        with file.open("xb") as out:
            out.write(data)
    except FileExistsError as error:
        raise UsageError("CHART_EXISTS", f"{safe_text(file)} is there already.", "Choose another name.") from error
    return len(data)


def to_csv(picture: Picture) -> bytes:
    """Every point in view: the step, its place on the x axis, and a column per curve and per smoothed curve.

    A cell is empty where a curve has no point at that step; `nan` and `inf` are written as such.
    """
    import numpy as np

    columns: list[tuple[str, dict[int, str]]] = []
    places: dict[int, float] = {}
    for plot in picture.plots:
        several = len({curve.source.label for curve in plot.curves}) > 1
        for curve in plot.curves:
            for smoothing in dict.fromkeys(("raw", curve.smoothing)):
                steps, values = in_view(curve, plot, smoothing)
                name = curve.metric if smoothing == "raw" else f"{curve.metric} {smoothing}"
                label = f"{curve.source.label}: {name}" if several else name
                columns.append(
                    (_cell(label), dict(zip(steps.tolist(), map(_shortest(values), values.tolist()), strict=True)))
                )
            steps, _ = in_view(curve, plot, "raw")
            x = np.asarray(curve.source.to_units(steps, plot.axis))
            for step, place in zip(steps.tolist(), x.tolist(), strict=True):
                places.setdefault(step, place)
    axis = picture.plots[0].axis if picture.plots else "step"
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["step", *([axis] if axis != "step" else []), *(name for name, _ in columns)])
    for step in sorted(places):
        place = [f"{places[step]:.10g}"] if axis != "step" else []
        writer.writerow([step, *place, *(held.get(step, "") for _, held in columns)])
    return out.getvalue().encode("utf-8")


def in_view(curve: Curve, plot: Plot, smoothing: str) -> tuple[Any, Any]:
    """Steps and values of a curve between the ends of a plot."""
    import numpy as np

    steps, values = curve.source.curve(curve.metric, smoothing)
    ends = curve.source.to_steps(np.array([plot.start, plot.stop]), plot.axis)
    first, last = int(first_at(steps, ends[:1], "left")[0]), int(first_at(steps, ends[1:], "right")[0])
    return steps[first:last], values[first:last]


def _shortest(values: Any) -> Callable[[float], str]:
    """Digits that give the same value back: nine do for single precision, `repr` finds them for double."""
    return repr if values.dtype.itemsize > 4 else "{:.9g}".format


def _cell(text: str) -> str:
    """A heading no spreadsheet takes for a formula."""
    text = safe_text(text, limit=120)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _svg(picture: Picture) -> bytes:
    from backprop_tui.app.chart_picture import to_svg

    return to_svg(picture).encode("utf-8")


def _png(picture: Picture) -> bytes:
    from backprop_tui.app.chart_picture import to_png

    return to_png(picture)


_WRITERS: dict[str, Callable[[Picture], bytes]] = {".svg": _svg, ".png": _png, ".csv": to_csv}
