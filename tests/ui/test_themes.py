"""Every theme can be read on, names every role, and a broken one is a sentence, not a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.color import Color

from backprop_tui.app import themes
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.footer import Footer
from backprop_tui.config.files import replace_file
from backprop_tui.config.settings import settings_file
from backprop_tui.protocol.errors import UsageError
from tests.support import sight
from tests.ui.helpers import shows, until

OURS = ["backprop-dark", "backprop-light", "high-contrast", "terminal", "mono"]
#: Frames, grids and the raw curve behind the smoothed one are not text.
READ = [role for role in themes.ROLES if role not in ("frame", "grid", "faint", *themes.SERIES)]


def _named() -> dict[str, themes.Theme]:
    found, problems = themes.load_themes()
    assert not problems
    return {theme.name: theme for theme in found}


def test_the_promised_themes_ship() -> None:
    assert set(OURS) <= set(_named())


def _shipped() -> list[str]:
    """Every theme file that ships and names its own colours; an ANSI theme has the terminal's."""
    return [theme.name for theme in _named().values() if not theme.ansi]


def _colours(name: str) -> tuple[dict[str, Color], list[Color]]:
    """The roles a theme draws text in, and the grounds they stand on."""
    theme = _named()[name]
    variables = {**themes.variable_defaults(theme), **theme.variables}
    roles = {
        role: Color.parse(variables[f"bp-{role}"])
        for role in themes.ROLES
        if not variables[f"bp-{role}"].startswith("auto")
    }
    return roles, [Color.parse(ground) for ground in (theme.background, theme.surface) if ground is not None]


@pytest.mark.parametrize("depth", ["24 bit", "256 colours"])
@pytest.mark.parametrize("name", _shipped())
def test_text_is_readable_on_every_ground(name: str, depth: str) -> None:
    seen = sight.as_256 if depth == "256 colours" else sight.as_is
    roles, grounds = _colours(name)
    for ground in grounds:
        for role in READ:
            found = sight.contrast(seen(roles[role]), seen(ground))
            assert found >= 4.5, (role, ground.hex, round(found, 2))
        for role in themes.SERIES:
            # Lines, not letters: what WCAG asks of graphics.
            assert sight.contrast(seen(roles[role]), seen(ground)) >= 3.0, role


@pytest.mark.parametrize("vision", sight.VISIONS)
@pytest.mark.parametrize("name", _shipped())
def test_colours_differ_for_every_eye(name: str, vision: sight.Vision) -> None:
    """CIEDE2000 distances, also after rounding to 256 colours. 2 is just seen; beyond the fourth curve markers differ too."""
    roles, _ = _colours(name)
    for seen in (sight.as_is, sight.as_256):
        series = [sight.lab(seen(roles[role]), vision) for role in themes.SERIES]
        apart = {(a, b): sight.difference(series[a], series[b]) for a in range(8) for b in range(a)}
        assert min(apart.values()) >= 8.0, (vision, min(apart, key=lambda pair: apart[pair]))
        assert min(found for (a, _), found in apart.items() if a < 4) >= 14.0, vision
        states = [sight.lab(seen(roles[role]), vision) for role in ("good", "warn", "bad")]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert sight.difference(states[a], states[b]) >= 10.0, (vision, a, b)


def test_the_measure_of_colours_is_the_published_one() -> None:
    # Pairs of Sharma, Wu and Dalal (2005).
    for one, other, wanted in (
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ):
        assert sight.difference(one, other) == pytest.approx(wanted, abs=1e-4)


def test_red_and_green_of_one_lightness_are_one_to_a_deuteranope() -> None:
    red, green = Color(200, 80, 60), Color(126, 122, 60)
    assert sight.difference(sight.lab(red, "normal"), sight.lab(green, "normal")) > 25
    assert sight.difference(sight.lab(red, "deuteranopia"), sight.lab(green, "deuteranopia")) < 14


@pytest.mark.parametrize("name", OURS)
async def test_a_theme_draws_every_role(name: str) -> None:
    app = BackpropApp("run", None, Terminal(PROFILES["local"], False, name, {}, False))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        footer = app.screen.query_one(Footer)
        assert app.theme == name
        styles = {role: footer.ink(role) for role in themes.ROLES}
        if name == "mono":
            assert {style.color.name for style in styles.values() if style.color} == {"default"}
            assert styles["bad"].reverse
            assert styles["muted"].dim
            assert styles["good"].bold


async def test_textuals_own_themes_work_too() -> None:
    app = BackpropApp("run")
    async with app.run_test(size=(80, 24)) as pilot:
        for name in ("nord", "textual-light", "ansi-dark"):
            app.theme = name
            await pilot.pause()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\n[colors]\nprimary = "#zzz"\n', "colors.primary '#zzz' is not a colour"),
        ('name = "x"\ncolour = 1\n[colors]\nprimary = "#fff"\n', "colour is unknown; did you mean colors?"),
        ('name = "x"\n[colors]\nprimery = "#fff"\n', "colors.primery is unknown; did you mean primary?"),
        ('name = "x"\n[colors]\nprimary = 3\n', "colors.primary is not a text"),
        ('[colors]\nprimary = "#fff"\n', "name is missing"),
        ('name = "x"\n[colors]\naccent = "#fff"\n', "colors.primary is missing"),
        ('name = "x"\n[colors]\nprimary = "#fff"\n[variables]\nbp-sereis-1 = "#fff"\n', "did you mean bp-series-1?"),
        ('name = "x"\n[colors]\nprimary = "#fff"\n[variables]\nbp-bad-style = "blink"\n', "bp-bad-style 'blink'"),
        ('name = "x"\n[colors]\nprimary = "#fff"\n[variables]\nbp-bad = "rad"\n', "bp-bad 'rad' is not a colour"),
        ('name = [\n', "bad.toml"),
    ],
)  # fmt: skip
def test_a_broken_theme_is_one_line_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        themes.read_theme(file)
    assert said in str(caught.value)
    assert "bad.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_themes_leave_the_good_ones() -> None:
    folder = themes.own_themes_dir()
    folder.mkdir()
    (folder / "bad.toml").write_text('name = "bad"\n[colors]\nprimary = "#zzz"\n')
    (folder / "good.toml").write_text('name = "good"\n[colors]\nprimary = "#ff0000"\n')
    found, problems = themes.load_themes()
    assert "good" in {theme.name for theme in found}
    assert [problem.code for problem in problems] == ["THEME_INVALID"]


def _own(primary: str) -> None:
    folder = themes.own_themes_dir()
    folder.mkdir(exist_ok=True)
    replace_file(folder / "mine.toml", f'name = "mine"\n[colors]\nprimary = "{primary}"\nbackground = "#101010"\n')


async def test_a_changed_theme_of_the_persons_own_is_seen_without_a_restart() -> None:
    _own("#ff0000")
    app = BackpropApp("run", None, Terminal(PROFILES["local"], False, "mine", {}, False))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("4")
        await pilot.pause()
        footer = app.screen.query_one(Footer)
        assert _hue(footer) == "red"
        _own("#00ff00")
        await until(pilot, lambda: _hue(footer) == "green")
        # The room that was open before has it too.
        await pilot.press("3")
        await until(pilot, lambda: _hue(app.screen.query_one(Footer)) == "green")
        _own("#nothing")
        await shows(pilot, "mine.toml: colors.primary '#nothing' is not a colour")
        assert _hue(app.screen.query_one(Footer)) == "green"
        _own("#0000ff")
        await until(pilot, lambda: _hue(app.screen.query_one(Footer)) == "blue")


async def test_a_new_file_becomes_a_theme_and_nobody_looks_without_the_focus() -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        app.post_message(events.AppBlur())
        await pilot.pause(0.1)
        _own("#ff0000")
        assert app._theme_watch is not None
        assert app._theme_watch._timer is not None
        assert not app._theme_watch._timer._active.is_set()
        app.post_message(events.AppFocus())
        await until(pilot, lambda: "mine" in app.available_themes)


async def test_themes_are_seen_while_choosing_and_esc_goes_back() -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f2", "down")
        await until(pilot, lambda: app.theme != themes.DEFAULT_THEME)
        await pilot.press("G")
        await until(pilot, lambda: app.theme not in OURS)
        await pilot.press("escape")
        await until(pilot, lambda: app.theme == themes.DEFAULT_THEME)
        assert not settings_file().exists()
        await pilot.press("f2", "down", "enter")
        await shows(pilot, "theme is backprop-light, kept in")
        assert settings_file().read_text() == 'theme = "backprop-light"\n'


def _hue(footer: Footer) -> str:
    """Which of red, green and blue a footer's keys are drawn in."""
    color = footer.ink("key").color
    assert color is not None
    assert color.triplet is not None
    return max(zip(color.triplet, ("red", "green", "blue"), strict=True))[1]


async def test_an_unknown_theme_is_said_and_the_default_taken() -> None:
    app = BackpropApp("run", None, Terminal(PROFILES["local"], False, "backprop-drak", {}, False))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause(0.1)
        assert app.theme == themes.DEFAULT_THEME
        last = app.screen._compositor.render_strips()[-1].text
        assert "backprop-drak" in last
        assert "Did you mean backprop-dark?" in last
