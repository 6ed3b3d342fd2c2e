"""Questions default to cancel; a prompt keeps what was typed until it will do."""

from __future__ import annotations

import pytest
from textual.content import Content

from backprop_tui.app.widgets.modal import Choice, ConfirmModal, PromptModal
from tests.ui.helpers import BareApp, screen_text, type_text

STOP = [Choice("save", "Save and stop", "s"), Choice("now", "Stop without saving", "n", danger=True)]


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["enter"], None),
        (["escape"], None),
        (["up", "enter"], "now"),
        (["k", "k", "enter"], "save"),
        (["s"], "save"),
        (["n"], "now"),
        (["up", "up", "up", "down", "space"], "now"),
    ],
)
async def test_answers(keys: list[str], answer: str | None) -> None:
    app = BareApp()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        body = Content("The folder /runs/[/x] goes.")
        app.push_screen(ConfirmModal(Content("Stop [/INST]"), body, STOP), answers.append)
        await pilot.pause()
        text = screen_text(app)
        assert "Stop [/INST]" in text
        assert "/runs/[/x]" in text
        assert "▌    Cancel" in text
        await pilot.press(*keys)
        await pilot.pause()
        assert answers == [answer]


async def test_a_default_other_than_cancel_has_to_be_asked_for() -> None:
    app = BareApp()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        app.push_screen(ConfirmModal(Content("Launch"), Content("x"), STOP, "save"), answers.append)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert answers == ["save"]


async def test_a_prompt_keeps_what_was_typed_until_it_will_do() -> None:
    app = BareApp()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        prompt = PromptModal(
            Content("Name"), Content("Of the preset."), check=lambda text: None if text == "abc" else "Not that one."
        )
        app.push_screen(prompt, answers.append)
        await pilot.pause()
        await type_text(pilot, "ab")
        await pilot.press("enter")
        await pilot.pause()
        assert "Not that one." in screen_text(app)
        assert answers == []
        await pilot.press("c", "enter")
        await pilot.pause()
        assert answers == ["abc"]


async def test_pasted_controls_are_made_harmless() -> None:
    from textual import events

    from backprop_tui.app.widgets.lineinput import LineInput

    app = BareApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(PromptModal(Content("Path"), Content("")))
        await pilot.pause()
        line = app.screen.query_one(LineInput)
        line.post_message(events.Paste("a\x1b]0;x\x07b\nsecond"))
        await pilot.pause()
        assert line.value == "a␛]0;x␇b"
