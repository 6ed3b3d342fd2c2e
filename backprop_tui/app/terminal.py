"""What the terminal can do, decided from the environment before Textual is imported.

Textual reads its own settings from the environment when its modules are first imported, so `prepare` must run before; this
module imports neither Textual nor Rich.
"""

from __future__ import annotations

import locale
import os
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from backprop_tui.config import paths
from backprop_tui.protocol.errors import UnavailableError, UsageError

ProfileName = Literal["local", "ssh", "low"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How much may be sent. `fps` caps frames, `hz` is how often new facts are shown, `log_s` how often log lines are;
    `motion` says whether the mouse reports every movement or only clicks and the wheel."""

    name: ProfileName
    fps: int
    hz: float
    log_s: float
    motion: bool


PROFILES: dict[str, Profile] = {
    "local": Profile("local", 60, 4.0, 0.5, True),
    "ssh": Profile("ssh", 15, 1.0, 1.0, False),
    "low": Profile("low", 2, 0.3, 4.0, False),
}


#: Settings that concern the screen, by kind.
_WORDS = ("theme", "profile", "marks", "notify", "unfocused")
_SWITCHES = ("ascii", "mouse", "title", "restore")


#: Locales that ask for no more than ASCII, and what Python may make of LC_CTYPE.
_PLAIN = ("C", "POSIX")
_COERCED = ("", "C.UTF-8", "C.utf8", "UTF-8")


@dataclass(frozen=True, slots=True)
class Terminal:
    """The decisions: profile, whether to draw in ASCII, the theme's name, remapped keys, whether colour is unwanted, and
    whether charts are drawn in half blocks because the font's braille is poor; whether the mouse is ours, how the terminal
    is asked to tell of an end (a `notify` setting), whether the window gets a title, whether to begin where the person
    left, and whether the screen holds still while its window or pane has no focus."""

    profile: Profile
    ascii: bool
    theme: str
    keys: Mapping[str, str]
    mono: bool
    blocks: bool = False
    mouse: bool = True
    notify: str = "off"
    title: bool = True
    restore: bool = True
    hold: bool = True


def examine(environ: Mapping[str, str], preferences: Mapping[str, Any]) -> Terminal:
    """Decide from the environment and the person's preferences (see `read_preferences`).

    Raises:
        UnavailableError: the terminal cannot move its cursor (TERM=dumb).
        UsageError: an unknown profile, or a keymap that is not a table of names to keys.
    """
    if environ.get("TERM", "").lower() in ("dumb", "unknown"):
        raise UnavailableError(
            "TERMINAL_DUMB",
            f"This terminal (TERM={environ['TERM'].lower()}) can't show a full screen.",
            "Use `backprop watch --line`, or run it in a real terminal.",
        )
    wanted = str(preferences.get("profile") or "auto")
    if wanted == "auto":
        remote = any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"))
        wanted = "ssh" if remote else "local"
    if wanted not in PROFILES:
        raise UsageError("PROFILE_UNKNOWN", f"There is no profile {wanted!r}.", "Choose auto, local, ssh or low.")
    keys = preferences.get("keys") or {}
    if not isinstance(keys, Mapping) or not all(isinstance(key, str) for pair in keys.items() for key in pair):
        raise UsageError(
            "KEYS_INVALID", "The setting `keys` is not a table.", 'Write it as [keys] and "run.stop" = "X".'
        )
    mono = bool(environ.get("NO_COLOR"))
    theme = "mono" if mono else str(preferences.get("theme") or "backprop-dark")
    # Whoever says `ascii = false` knows the terminal better than its locale does.
    plain = not speaks_utf8(environ) if preferences.get("ascii") is None else bool(preferences["ascii"])
    return Terminal(
        PROFILES[wanted], plain, theme, dict(keys), mono, preferences.get("marks") == "blocks",
        mouse=bool(preferences.get("mouse", True)),
        notify=str(preferences.get("notify") or "off"),
        # The Linux console has no title to set.
        title=bool(preferences.get("title", True)) and environ.get("TERM") != "linux",
        restore=bool(preferences.get("restore", True)),
        hold=preferences.get("unfocused") != "live",
    )  # fmt: skip


def speaks_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale's character set is UTF-8; the Linux console is, but its font has no braille, so it counts as not."""
    if environ.get("TERM") == "linux":
        return False
    ctype, lang = environ.get("LC_CTYPE") or "", environ.get("LANG") or ""
    # Python writes LC_CTYPE itself where the locale is plain or not installed (PEP 538); LANG is what the person said.
    name = environ.get("LC_ALL") or (lang if lang and ctype in _COERCED else ctype) or lang
    if name:
        return name not in _PLAIN and ("utf" in name.lower() or "." not in name)
    # No locale at all, as in a container: Python takes UTF-8 then (PEP 538), and the terminal nearly always agrees.
    return "utf" in locale.getpreferredencoding(False).lower()


def read_preferences(environ: Mapping[str, str]) -> dict[str, Any]:
    """What concerns the screen from settings.toml and `BACKPROP_…`, read without pydantic for a quick start.

    A broken file is left to `backprop config` to complain about; the app starts with what it knows.
    """
    words: dict[str, Any] = {}
    try:
        words = tomllib.loads((paths.config_dir() / "settings.toml").read_text("utf-8"))
    except (OSError, ValueError):
        pass
    found: dict[str, Any] = {key: words[key] for key in (*_WORDS, *_SWITCHES, "keys") if key in words}
    for key in _WORDS:
        if environ.get(f"BACKPROP_{key.upper()}"):
            found[key] = environ[f"BACKPROP_{key.upper()}"]
    for key in _SWITCHES:
        if environ.get(f"BACKPROP_{key.upper()}"):
            found[key] = environ[f"BACKPROP_{key.upper()}"].lower() not in ("0", "false", "no", "off")
    return found


def prepare(terminal: Terminal, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set what Textual reads at import, and keep its own NO_COLOR filter (24-bit greys) out of the way of our theme."""
    environ["TEXTUAL_FPS"] = str(terminal.profile.fps)
    environ["TEXTUAL_ANIMATIONS"] = "none"
    environ["TEXTUAL_SMOOTH_SCROLL"] = "0"
    environ.pop("NO_COLOR", None)
