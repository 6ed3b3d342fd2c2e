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

from textual.color import Color, ColorParseError
from textual.theme import Theme

from backprop_tui.config import paths
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

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


#: What may stand in a theme file, and the text styles a role may have.
_KEYS = ("name", "dark", "ansi", "colors", "variables")
TEXT_STYLES = frozenset({"none", "bold", "dim", "italic", "underline", "reverse", "bold underline", "bold reverse"})
_VARIABLES = frozenset(
    [*(f"bp-{role}" for role in ROLES), *(f"bp-{role}-style" for role in ROLES), "bp-cursor-background"]
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
        UsageError: unreadable, not TOML, without a name or a primary colour, with an unknown key, or with a value that
            is no colour; the sentence names the file and the key.
    """
    try:
        words: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise _invalid(file, "", f"{error.strerror}") from error
    except ValueError as error:
        raise _invalid(file, "", str(error)) from error
    for key in words:
        _known(file, key, _KEYS)
    name = words.get("name")
    if not isinstance(name, str) or not name.strip():
        raise _invalid(file, "name", "is missing")
    colors, variables = _table(file, words, "colors"), _table(file, words, "variables")
    for key, value in colors.items():
        _known(file, key, _COLORS, "colors.")
        _check_color(file, f"colors.{key}", value)
    if "primary" not in colors:
        raise _invalid(file, "colors.primary", "is missing")
    for key, value in variables.items():
        if not key.startswith("bp-"):
            continue
        _known(file, key, _VARIABLES, "variables.")
        if not key.endswith("-style"):
            _check_color(file, f"variables.{key}", value)
        elif value not in TEXT_STYLES:
            raise _invalid(file, f"variables.{key}", f"{value!r} is none of {', '.join(sorted(TEXT_STYLES))}")
    for key in ("dark", "ansi"):
        if not isinstance(words.get(key, False), bool):
            raise _invalid(file, key, "is neither true nor false")
    return Theme(
        name=name.strip(), dark=words.get("dark", True), ansi=words.get("ansi", False), variables=variables,
        **colors,  # type: ignore[arg-type]
    )  # fmt: skip


def _table(file: Path, words: dict[str, Any], key: str) -> dict[str, str]:
    table = words.get(key, {})
    if not isinstance(table, dict):
        raise _invalid(file, key, "is not a table")
    for name, value in table.items():
        if not isinstance(value, str):
            raise _invalid(file, f"{key}.{name}", "is not a text")
    return table


def _known(file: Path, key: str, known: Iterable[str], where: str = "") -> None:
    if key not in known:
        near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
        raise _invalid(file, f"{where}{key}", f"is unknown{f'; did you mean {near[0]}?' if near else ''}")


def _check_color(file: Path, key: str, value: str) -> None:
    try:
        Color.parse(value)
    except ColorParseError:
        raise _invalid(file, key, f"{value!r} is not a colour") from None


def _invalid(file: Path, key: str, what: str) -> UsageError:
    where = f"{file.name}: {key} {what}" if key else f"{file.name}: {what}"
    return UsageError("THEME_INVALID", f"{safe_text(where, limit=200)}.", f"Mend {safe_text(file)}.")


def load_themes() -> tuple[list[Theme], list[UsageError]]:
    """Our themes, then the person's own; a file that can't be used becomes an error to show, never a crash."""
    themes: list[Theme] = []
    problems: list[UsageError] = []
    for folder in (paths.themes_dir(), own_themes_dir()):
        for file in sorted(folder.glob("*.toml")):
            try:
                themes.append(read_theme(file))
            except UsageError as problem:
                problems.append(problem)
    return themes, problems


def own_themes_dir() -> Path:
    """Where a person's own themes lie."""
    return paths.config_dir() / "themes"


def unknown_theme(name: str, known: Iterable[str]) -> UsageError:
    """The words for a theme that does not exist, with the nearest name."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"Did you mean {near[0]}?" if near else "F2 lists them."
    return UsageError("THEME_UNKNOWN", f"There is no theme {name!r}.", hint)
