"""Every theme can be read on, names every role, and a broken one is a sentence, not a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color

from backprop_tui.app import themes
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.config import paths
from backprop_tui.protocol.errors import UsageError

OURS = ["backprop-dark", "backprop-light", "high-contrast", "terminal", "mono"]
#: Frames, grids and the raw curve behind the smoothed one are not text.
READ = [role for role in themes.ROLES if role not in ("frame", "grid", "faint", *themes.SERIES)]


def _contrast(a: Color, b: Color) -> float:
    def light(color: Color) -> float:
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in color.rgb)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _named() -> dict[str, themes.Theme]:
    found, problems = themes.load_themes()
    assert not problems
    return {theme.name: theme for theme in found}


def test_the_promised_themes_ship() -> None:
    assert set(OURS) <= set(_named())


@pytest.mark.parametrize("name", ["backprop-dark", "backprop-light", "high-contrast"])
def test_text_is_readable_on_every_ground(name: str) -> None:
    theme = _named()[name]
    variables = {**themes.variable_defaults(theme), **theme.variables}
    for ground in (theme.background, theme.surface):
        assert ground is not None
        for role in READ:
            if variables[f"bp-{role}"].startswith("auto"):
                continue
            found = _contrast(Color.parse(variables[f"bp-{role}"]), Color.parse(ground))
            assert found >= 4.5, (role, ground, round(found, 2))
        for role in themes.SERIES:
            assert _contrast(Color.parse(variables[f"bp-{role}"]), Color.parse(ground)) >= 3.0, role


@pytest.mark.parametrize("name", OURS)
async def test_a_theme_draws_every_role(name: str) -> None:
    app = BackpropApp("run", None, Terminal(PROFILES["local"], False, name, {}, False))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        from backprop_tui.app.widgets.footer import Footer

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


def test_a_broken_theme_of_the_persons_own_is_named(tmp_path: Path) -> None:
    folder = paths.config_dir() / "themes"
    folder.mkdir()
    (folder / "bad.toml").write_text('name = "bad"\n[colors]\nprimary = "#zzz"\n')
    (folder / "odd.toml").write_text('name = "odd"\ncolour = 1\n[colors]\nprimary = "#fff"\n')
    (folder / "good.toml").write_text('name = "good"\n[colors]\nprimary = "#ff0000"\n')
    found, problems = themes.load_themes()
    assert "good" in {theme.name for theme in found}
    assert [problem.code for problem in problems] == ["THEME_INVALID"] * 2
    with pytest.raises(UsageError, match=r"bad\.toml"):
        themes.read_theme(folder / "bad.toml")


async def test_an_unknown_theme_is_said_and_the_default_taken() -> None:
    app = BackpropApp("run", None, Terminal(PROFILES["local"], False, "backprop-drak", {}, False))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause(0.1)
        assert app.theme == themes.DEFAULT_THEME
        last = app.screen._compositor.render_strips()[-1].text
        assert "backprop-drak" in last
        assert "Did you mean backprop-dark?" in last
