"""The form: one or two columns, in-place editing that keeps what will not do, and every key answered."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import ComposeResult

from backprop_tui.app.widgets.form import Form
from backprop_tui.app.widgets.form_fields import FormField, lay_out
from tests.ui.helpers import BareApp, screen_text, type_text

FIELDS = [
    FormField("rank", "adapter", "rank", "32", "32"),
    FormField("alpha", "adapter", "alpha", "32", "32", changed=True, note="16"),
    FormField("schedule", "optimiser", "schedule", "cosine", choices=True),
]


class FormApp(BareApp):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, Any]] = []

    def compose(self) -> ComposeResult:
        yield Form()

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    def on_mount(self) -> None:
        self.form.show(FIELDS, "advanced (3)")
        self.form.lines.focus()

    def on_form_moved(self, message: Form.Moved) -> None:
        self.said.append(("moved", message.field and message.field.key))

    def on_form_nudged(self, message: Form.Nudged) -> None:
        self.said.append((message.field.key, message.direction))

    def on_form_asked(self, message: Form.Asked) -> None:
        self.said.append(("asked", message.field and message.field.key))
        if message.field is not None:
            self.form.edit(message.field)

    def on_form_entered(self, message: Form.Entered) -> None:
        self.said.append((message.field.key, message.text))
        if message.text.isdecimal():
            message.form.close_edit()


def test_sections_stand_apart_in_one_column_and_fields_in_pairs_in_two() -> None:
    one = lay_out(FIELDS, 1, "more")
    assert [line.kind for line in one] == [
        "section", "fields", "fields", "blank", "section", "fields", "blank", "more",
    ]  # fmt: skip
    two = lay_out(FIELDS, 2, "")
    assert [line.fields for line in two] == [(0, 1), (2,)]


@pytest.mark.parametrize("width", [48, 78])
async def test_editing_in_place(width: int) -> None:
    app = FormApp()
    async with app.run_test(size=(width, 14)) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert "▌ " in text
        assert "● " in text, "what differs is marked"
        await pilot.press("j", "enter")
        await pilot.pause()
        assert app.form.editing is not None
        assert app.form.editing.key == "alpha"
        await pilot.press("backspace", "backspace")
        await type_text(pilot, "x")
        await pilot.press("enter")
        await pilot.pause()
        assert app.said[-1] == ("alpha", "x")
        assert app.form.editing is not None, "what will not do stays to be mended"
        await pilot.press("backspace", "6", "4", "enter")
        await pilot.pause()
        assert app.said[-1] == ("alpha", "64")
        assert app.form.editing is None
        assert app.form.lines.has_focus


async def test_arrows_adjust_and_the_last_line_opens_the_rest() -> None:
    app = FormApp()
    async with app.run_test(size=(48, 14)) as pilot:
        await pilot.pause()
        await pilot.press("right", "h", "down", "down", "l", "down", "enter", "down", "right")
        await pilot.pause()
        assert [said for said in app.said if said[0] != "moved"] == [
            ("rank", 1), ("rank", -1), ("schedule", 1), ("asked", None),
        ]  # fmt: skip
        assert app.said[3][0] == "moved"


async def test_esc_leaves_an_edit_without_a_word() -> None:
    app = FormApp()
    async with app.run_test(size=(48, 14)) as pilot:
        await pilot.pause()
        await pilot.press("enter", "9", "escape")
        await pilot.pause()
        assert app.form.editing is None
        assert all(said[0] in ("moved", "asked") for said in app.said)


async def test_a_long_form_scrolls_with_the_cursor_and_edits_where_the_field_is() -> None:
    app = FormApp()
    async with app.run_test(size=(48, 8)) as pilot:
        app.form.show([FormField(f"k{n}", "s", f"field {n}", str(n), str(n)) for n in range(40)])
        await pilot.pause()
        await pilot.press("G", "enter")
        await pilot.pause()
        line = next(line for line in screen_text(app).splitlines() if "field 39" in line)
        assert screen_text(app).splitlines().index(line) == app.form.input.region.y


async def test_a_resize_keeps_what_was_typed_so_far() -> None:
    app = FormApp()
    async with app.run_test(size=(78, 14)) as pilot:
        await pilot.press("j", "enter")
        await pilot.pause()
        await pilot.press("backspace", "backspace")
        await type_text(pilot, "77")
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert ("alpha", "77") in app.said
