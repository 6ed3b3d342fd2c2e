"""The shell: rooms, keys, panels at three sizes, and the rule that only changed cells are sent."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual import events
from textual.geometry import Size

from backprop_tui.app.actions import active_keys, registry
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.glyphs import to_ascii
from backprop_tui.app.screens.help import HelpScreen
from backprop_tui.app.screens.room import Room
from backprop_tui.app.terminal import PROFILES, Terminal, examine
from backprop_tui.app.widgets.footer import Footer
from backprop_tui.app.widgets.painted import changed_spans, ellipsis, fit, width_of
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.errors import UnavailableError, UsageError
from tests.support.runs import FakeRun, finished
from tests.ui.helpers import until


def screen_text(app: BackpropApp) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_every_line_fills_the_screen_exactly(size: tuple[int, int]) -> None:
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.2)
        lines = screen_text(app)
        assert len(lines) == size[1]
        assert "[3 Run]" in lines[0]
        assert "? Help" in lines[-1]
        assert "^P Commands" in lines[-1]
        assert lines[-1].rstrip().endswith("Commands")


async def test_narrow_screens_show_one_panel_and_tab_cycles_them() -> None:
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause(0.1)
        room = app.screen
        assert isinstance(room, Room)
        seen = []
        for _ in range(4):
            shown = [panel for panel in room.query(Panel) if panel.display]
            assert len(shown) == 1
            seen.append(shown[0].id)
            await pilot.press("tab")
            await pilot.pause()
        assert len(set(seen)) == 4
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert len([panel for panel in room.query(Panel) if panel.display]) == 4


async def test_focus_is_marked_by_a_sign_as_well() -> None:
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.1)
        assert any(line.startswith("▸ loss") for line in screen_text(app))
        await pilot.press("tab", "tab")
        await pilot.pause(0.1)
        lines = screen_text(app)
        assert any(line.startswith("▸ log") for line in lines)
        assert any(line.startswith("─ loss") for line in lines)


async def test_help_names_every_key_of_the_screen_and_closes() -> None:
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.pause(0.1)
        expected = [action.title for action, _, _ in active_keys(app.screen).values()]
        assert "Stop…" in expected
        await pilot.press("question_mark")
        await pilot.pause(0.1)
        assert isinstance(app.screen, HelpScreen)
        text = ""
        for _ in range(4):
            await pilot.pause()
            text += "\n".join(screen_text(app))
            await pilot.press("ctrl+d")
        assert [title for title in expected if title not in text] == []
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_a_remapped_key_is_what_the_footer_shows_and_what_works() -> None:
    FakeRun().begin().train(2)
    app = BackpropApp("run", None, Terminal(PROFILES["local"], False, "backprop-dark", {"run.zoom": "Z"}, False))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        assert "Z Zoom" in screen_text(app)[-1]
        await pilot.press("Z")
        await pilot.pause()
        assert len([panel for panel in app.screen.query(Panel) if panel.display]) == 1


async def test_what_the_app_says_is_harmless_and_goes_with_the_next_key() -> None:
    app = BackpropApp("run")
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        app.say("\x1b]0;x\x07 [/INST] [@click=app.quit]x[/]", "warn")
        assert "[/INST] [@click=app.quit]x[/]" in screen_text(app)[-1]
        assert "\x1b" not in screen_text(app)[-1]
        await pilot.press("down")
        assert "Help" in screen_text(app)[-1]


async def test_ctrl_c_says_how_to_leave_and_does_not() -> None:
    app = BackpropApp("run")
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("ctrl+c")
        assert "q leaves" in screen_text(app)[-1]
        assert app.is_running


async def test_a_repaint_without_news_refreshes_nothing() -> None:
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        footer = app.screen.query_one(Footer)
        calls: list[object] = []
        footer.refresh = lambda *regions, **_: calls.append(regions) or footer  # type: ignore[method-assign]
        footer.repaint()
        assert calls == []
        footer.say("news")
        assert calls


def test_actions_are_unique_and_described() -> None:
    actions = registry()
    assert len(actions) > 30
    for action in actions.values():
        assert action.title
        assert action.help
        assert action.keys


pieces = st.lists(
    st.tuples(st.text(st.sampled_from("ab 日─é"), max_size=12), st.sampled_from(["text", "bad"])), max_size=5
)


@settings(deadline=None)
@given(old=pieces, new=pieces, width=st.integers(1, 60))
def test_spans_cover_exactly_what_differs(old: list[tuple[str, str]], new: list[tuple[str, str]], width: int) -> None:
    before, after = fit(old, width), fit(new, width)
    assert width_of(before) == width_of(after) == width
    spans = changed_spans(before, after, width)
    assert (before == after) <= (spans == [])
    for (_, end), (start, _) in pairwise(spans):
        assert end < start
    # What the terminal shows after writing only the spans is the new line.
    from backprop_tui.app.widgets.painted import _cells

    screen, wanted = _cells(before, width), _cells(after, width)
    for start, end in spans:
        assert 0 <= start < end <= width
        screen[start:end] = wanted[start:end]
    assert screen == wanted


@given(st.text(max_size=40), st.integers(0, 30))
def test_ellipsis_never_exceeds_its_width(text: str, width: int) -> None:
    assert width_of([(ellipsis(text, width), "text")]) <= width
    assert to_ascii(text).isascii()


def test_the_terminal_is_examined() -> None:
    assert examine({"TERM": "xterm"}, {}).profile.name == "local"
    assert examine({"SSH_CONNECTION": "x"}, {}).profile.name == "ssh"
    assert examine({"SSH_CONNECTION": "x"}, {"profile": "low"}).profile.name == "low"
    assert examine({"NO_COLOR": ""}, {}).theme == "backprop-dark"
    assert examine({"NO_COLOR": "1"}, {"theme": "backprop-light"}).theme == "mono"
    assert examine({"LC_ALL": "de_DE.ISO-8859-1"}, {}).ascii
    assert not examine({"LANG": "en_GB.UTF-8"}, {}).ascii
    assert examine({"TERM": "linux", "LANG": "C.UTF-8"}, {}).ascii
    with pytest.raises(UnavailableError):
        examine({"TERM": "dumb"}, {})
    with pytest.raises(UsageError):
        examine({}, {"profile": "fast"})
    with pytest.raises(UsageError):
        examine({}, {"keys": {"run.stop": 3}})


async def test_a_size_that_came_out_of_turn_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals of two sizes may interrupt each other: what is told last is then not what the terminal has."""
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=(120, 40)) as pilot:
        monkeypatch.setattr(app._driver, "size_now", lambda: Size(100, 30), raising=False)
        app.post_message(events.Resize(Size(4, 60), Size(4, 60)))
        await until(pilot, lambda: app.size == Size(100, 30))
        await until(pilot, lambda: [len(line) for line in screen_text(app)] == [100] * 30)
