"""Several small plots side by side, each under a line with its metric and its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets import chart_words
from backprop_tui.app.widgets.chart_parts import Area, Plot
from backprop_tui.app.widgets.chart_plot import draw
from backprop_tui.app.widgets.painted import Line, fit, spread

#: A small plot is at least this large, its title included.
_CELL_WIDTH, _CELL_HEIGHT = 34, 7
#: Columns and rows of a grid, the largest first.
_SHAPES = ((3, 2), (2, 3), (2, 2), (2, 1), (1, 2), (1, 1))
_WIDE_CELL, _TALL_CELL = 44, 10


def grid_shape(width: int, height: int, count: int) -> tuple[int, int]:
    """Columns and rows for `count` metrics in so many cells: 6, 4, 2 or 1 plots, as many as fit and are there."""
    for across, down in _SHAPES:
        size = across * down
        # Six in two columns is for high screens only: lower plots are wide rather than flat.
        room = width >= across * (_WIDE_CELL if across == 3 else _CELL_WIDTH) and height >= down * (
            _TALL_CELL if down == 3 else _CELL_HEIGHT
        )
        if room and (size <= count or size == 1 or (size == 2 and count == 1)):
            return (1, 1) if count == 1 else (across, down)
    return 1, 1


def draw_grid(
    plots: Sequence[Plot], shape: tuple[int, int], width: int, height: int, glyphs: Glyphs, before: Sequence[Area] = ()
) -> tuple[list[Line], list[Area]]:
    """The plots, row by row, and where each is, which the next picture takes as `before`; empty places are blank."""
    across, down = shape
    lines: list[Line] = []
    areas: list[Area] = []
    for row in range(down):
        top = height * row // down
        tall = height * (row + 1) // down - top
        cells: list[list[Line]] = []
        for column in range(across):
            left = width * column // across
            wide = width * (column + 1) // across - left
            index = row * across + column
            if index >= len(plots):
                cells.append([fit((), wide)] * tall)
                continue
            gutters = before[index].gutters if index < len(before) else (6, 0)
            cell, area = _cell(plots[index], wide, tall, glyphs, gutters)
            cells.append(cell)
            areas.append(replace(area, left=area.left + left, top=top + 1))
        lines += [tuple(piece for cell in cells for piece in cell[y]) for y in range(tall)]
    return lines, areas


def _cell(plot: Plot, width: int, height: int, glyphs: Glyphs, before: tuple[int, int]) -> tuple[list[Line], Area]:
    mark = f"{glyphs.focus} " if plot.picked else "  "
    name: Line = ((mark, "focus"), (plot.title, "focus" if plot.picked else "strong"))
    head = spread(name, (*chart_words.values(plot, width - len(plot.title) - 4, glyphs), (" ", "text")), width - 1)
    inside, area = draw(plot, width - 1, height - 1, glyphs, before)
    return [fit(line, width) for line in [head, *inside]], area
