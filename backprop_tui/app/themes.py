"""Themes from TOML files, and the semantic colours every theme answers for.

A theme file names Textual's base colours under `[colors]` and, where it wants its own, the roles below as `bp-<role>` and
`bp-<role>-style` under `[variables]`. What a theme does not name is derived from its base colours, so Textual's built-in
themes and a person's own work as well.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual.color import Color
from textual.theme import Theme

from backprop_tui.config import paths
from backprop_tui.protocol.errors import UsageError

DEFAULT_THEME = "backprop-dark"
#: The theme of NO_COLOR.
MONO_THEME = "mono"

SERIES = tuple(f"series-{number}" for number in range(1, 9))
#: Roles a painter may ask for, each with the colour of Textual's palette it falls back on and its text style.
ROLES: dict[str, tuple[str, str]] = {
    "text": ("foreground", "none"),
    "strong": ("foreground", "bold"),
    "muted": ("text-muted", "none"),
    "frame": ("border-blurred", "none"),
    "focus": ("primary", "bold"),
    "key": ("primary", "none"),
    "accent": ("accent", "none"),
    "good": ("success", "none"),
    "warn": ("warning", "none"),
    "bad": ("error", "bold"),
    "live": ("success", "none"),
    "idle": ("text-muted", "none"),
    "grid": ("border-blurred", "none"),
    "faint": ("border-blurred", "none"),
    "masked": ("text-muted", "none"),
    "trained": ("accent", "none"),
    "cursor": ("foreground", "bold"),
    **dict.fromkeys(SERIES, ("primary", "none")),
}
_SERIES_FALLBACK = ("primary", "accent", "success", "error", "warning", "secondary", "foreground", "error")
#: Textual's own styles need these of themes that use the terminal's colours.
_ANSI_ONLY = ("ansi-background", "ansi-foreground")
_COLORS = frozenset(
    [
        "primary",
        "secondary",
        "warning",
        "error",
        "success",
        "accent",
        "foreground",
        "background",
        "surface",
        "panel",
        "boost",
    ]
)


def variable_defaults(theme: Theme) -> dict[str, str]:
    """CSS variables `bp-…` for a theme that does not name them itself."""
    palette = theme.to_color_system().generate()
    # Textual's muted text is "auto", which only a style sheet understands.
    muted = "ansi_bright_black" if theme.ansi else _between(palette["foreground"], palette["background"])
    palette["text-muted"] = theme.variables.get("bp-muted", muted)
    palette["border-blurred"] = theme.variables.get("bp-frame", palette["border-blurred"])
    defaults = {"bp-cursor-background": palette["panel"], **dict.fromkeys(_ANSI_ONLY, "ansi_default")}
    for role, (color, style) in ROLES.items():
        defaults[f"bp-{role}"] = palette.get(color, palette["foreground"])
        defaults[f"bp-{role}-style"] = style
    for role, color in zip(SERIES, _SERIES_FALLBACK, strict=True):
        defaults[f"bp-{role}"] = palette[color]
    return defaults


def _between(front: str, ground: str) -> str:
    return Color.parse(front).blend(Color.parse(ground), 0.35).hex6


def read_theme(file: Path) -> Theme:
    """One theme from its TOML file.

    Raises:
        UsageError: unreadable, not TOML, without a name or a primary colour, or with an unknown key.
    """
    try:
        words: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
        colors = {str(key): str(value) for key, value in words.get("colors", {}).items()}
        unknown = set(words) - {"name", "dark", "ansi", "colors", "variables"} | set(colors) - _COLORS
        if unknown:
            raise ValueError(f"unknown key {sorted(unknown)[0]!r}")
        variables = {str(key): str(value) for key, value in words.get("variables", {}).items()}
        theme = Theme(
            name=str(words["name"]),
            primary=colors.pop("primary"),
            dark=bool(words.get("dark", True)),
            ansi=bool(words.get("ansi", False)),
            variables=variables,
            **colors,  # type: ignore[arg-type]
        )
        for color in (theme.primary, *colors.values()):
            Color.parse(color)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            "THEME_INVALID", f"{file} is not a theme ({reason}).", "Compare it with themes/*.toml."
        ) from error
    return theme


def load_themes() -> tuple[list[Theme], list[UsageError]]:
    """Our themes, then the person's own; a file that can't be used becomes an error to show, never a crash."""
    themes: list[Theme] = []
    problems: list[UsageError] = []
    for folder in (paths.themes_dir(), paths.config_dir() / "themes"):
        for file in sorted(folder.glob("*.toml")):
            try:
                themes.append(read_theme(file))
            except UsageError as problem:
                problems.append(problem)
    return themes, problems


def unknown_theme(name: str, known: Iterable[str]) -> UsageError:
    """The words for a theme that does not exist, with the nearest name."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"Did you mean {near[0]}?" if near else "F2 lists them."
    return UsageError("THEME_UNKNOWN", f"There is no theme {name!r}.", hint)
