"""What the app makes of the terminal and the person's preferences, and what it says of those it can't follow."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.jobs import in_thread
from backprop_tui.app.terminal import examine
from backprop_tui.protocol.errors import BackpropError, UnavailableError, UsageError
from tests.ui.helpers import BareApp, shows, until


@pytest.mark.parametrize(
    ("preferences", "code"),
    [
        ({"profile": "fast"}, "PROFILE_UNKNOWN"),
        ({"keys": "run.stop"}, "KEYS_INVALID"),
        ({"keys": {"run.stop": 3}}, "KEYS_INVALID"),
    ],
)
def test_preferences_that_mean_nothing_are_refused(preferences: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError, match=code) as refused:
        examine({"TERM": "xterm-256color"}, preferences)
    assert refused.value.next_step


def test_a_terminal_that_can_not_show_a_screen_is_told_what_can() -> None:
    with pytest.raises(UnavailableError, match="TERMINAL_DUMB") as refused:
        examine({"TERM": "dumb"}, {})
    assert "backprop watch --line" in refused.value.next_step


async def test_a_theme_there_is_not_is_told_with_the_nearest() -> None:
    terminal = examine({"TERM": "xterm-256color", "LANG": "C.UTF-8"}, {"theme": "gruvbx"})
    async with BackpropApp("runs", terminal=terminal).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "THEME_UNKNOWN")
        await shows(pilot, "Did you mean gruvbox?")


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (OSError(5, "Input/output error", "/mnt/set"), "IO_FAILED", "Input/output error"),
        (ZeroDivisionError("by zero"), "UNEXPECTED", "ZeroDivisionError"),
        (UsageError("MINE", "It is mine.", ""), "MINE", "It is mine."),
    ],
)
async def test_work_that_fails_aside_is_told_by_name(failure: Exception, code: str, words: str) -> None:
    told: list[BackpropError] = []

    def work(_: object) -> None:
        raise failure

    app = BareApp()
    async with app.run_test() as pilot:
        in_thread(app, work, lambda _: None, told.append, group="x")
        await until(pilot, lambda: told)
    assert told[0].code == code
    assert words in told[0].cause
