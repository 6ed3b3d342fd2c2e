"""The live table: ten thousand rows, a cursor that keeps its row, and repaints of what changed only."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.geometry import Region

from backprop_tui.app.widgets.lines import fit, fit_middle, wrap
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.app.widgets.table_rows import Cell, Column, Row, arrange, visible_columns
from tests.ui.helpers import BareApp, screen_text

COLUMNS = (
    Column("name", "name", 10, flex=True),
    Column("rows", "rows", 8, "right"),
    Column("model", "model", 12, drop=1),
    Column("data", "data", 12, drop=2),
)


def row(number: int, name: str = "", rows: int | None = None) -> Row:
    return Row(str(number), (Cell(name or f"row {number}"), Cell("–" if rows is None else f"{rows:,}", "", rows)))


class TableApp(BareApp):
    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[str] = []
        self.highlighted: list[str] = []

    def compose(self) -> ComposeResult:
        yield LiveTable(COLUMNS, empty=("No run yet.  Press g.",))

    def on_mount(self) -> None:
        self.table.focus()

    @property
    def table(self) -> LiveTable:
        return self.query_one(LiveTable)

    def on_live_table_chosen(self, message: LiveTable.Chosen) -> None:
        self.chosen.append(message.row.key)

    def on_live_table_highlighted(self, message: LiveTable.Highlighted) -> None:
        self.highlighted.append(message.row.key)


@given(st.integers(10, 200))
def test_columns_never_take_more_than_the_width_and_give_way_in_order(width: int) -> None:
    shown = visible_columns(COLUMNS, max(width, 19))
    assert sum(cells for _, _, cells in shown) + len(shown) - 1 <= max(width, 19)
    keys = [column.key for _, column, _ in shown]
    assert keys[:2] == ["name", "rows"]
    assert "data" not in keys or "model" in keys


def test_sorting_puts_the_unknown_last_in_both_directions() -> None:
    rows = [row(1, rows=5), row(2, rows=None), row(3, rows=50), Row("r", rule="older")]
    rows[1] = Row("2", (Cell("x"), Cell("", "", None)))
    assert [r.key for r in arrange(rows, "", 1, False)] == ["1", "3", "2"]
    assert [r.key for r in arrange(rows, "", 1, True)] == ["3", "1", "2"]
    assert [r.key for r in arrange(rows, "", None, False)] == ["1", "2", "3", "r"]


def test_a_filter_looks_at_every_cell_and_ignores_case() -> None:
    rows = [row(1, "Legal"), row(2, "support"), Row("r", rule="legal")]
    assert [r.key for r in arrange(rows, "LEG", None, False)] == ["1"]


@given(st.text(max_size=40), st.integers(0, 30))
def test_fitted_text_has_exactly_the_width_asked_for(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit_middle(text, width)) == width
    assert all(cell_len(line) <= max(2, width) for line in wrap(text, max(2, width)))


async def test_ten_thousand_rows_are_there_at_once_and_the_last_is_one_key_away() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.table.update([row(number) for number in range(10_000)])
        await pilot.pause()
        await pilot.press("G")
        await pilot.pause()
        assert "row 9999" in screen_text(app)
        assert app.table.position == (10_000, 10_000)
        await pilot.press("home", "j", "down", "k", "enter")
        await pilot.pause()
        assert app.chosen == ["1"]
        assert "▌ row 1 " in screen_text(app)


async def test_the_cursor_stays_with_its_row_when_rows_come_in_above() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.table.update([row(number) for number in range(5)])
        await pilot.press("j", "j")
        app.table.update([row(99), *(row(number) for number in range(5))])
        await pilot.pause()
        assert app.table.current is not None
        assert app.table.current.key == "2"
        app.table.sort_by("name", reverse=True)
        assert app.table.current.key == "2"
        app.table.update([row(1), row(3)])
        assert app.table.current is not None


async def test_an_update_repaints_only_the_rows_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.table.update([row(number, rows=number) for number in range(8)])
        await pilot.pause()
        painted: list[Any] = []
        original = app.table.refresh

        def refresh(*regions: Region, **options: Any) -> Any:
            painted.append(regions)
            return original(*regions, **options)

        monkeypatch.setattr(app.table, "refresh", refresh)
        app.table.update([row(number, rows=number if number != 4 else 400) for number in range(8)])
        lines = {region.y for regions in painted for region in regions}
        assert all(regions for regions in painted)
        assert lines == {5}, "the changed line, and not the cursor's"
        painted.clear()
        app.table.update([row(number, rows=number if number != 4 else 400) for number in range(8)])
        assert painted == []


async def test_headings_are_skipped_by_the_cursor() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.table.update([Row("h", rule="recent"), row(1), Row("h2", rule="older"), row(2)])
        await pilot.pause()
        assert app.highlighted[-1] == "1"
        await pilot.press("down")
        await pilot.pause()
        assert app.highlighted[-1] == "2"
        await pilot.press("home")
        await pilot.pause()
        assert app.highlighted[-1] == "1"
        assert app.table.position == (1, 2)


async def test_an_empty_table_names_the_key_and_hostile_cells_are_literal() -> None:
    app = TableApp()
    async with app.run_test(size=(100, 12)) as pilot:
        await pilot.pause()
        assert "No run yet.  Press g." in screen_text(app)
        await pilot.press("j", "enter", "G", "pagedown")
        app.table.update([row(1, "\x1b[31m[/INST] [@click=app.quit]x[/]")])
        await pilot.pause()
        assert "␛[31m[/INST] [@click=app.quit]x[/]" in screen_text(app)
