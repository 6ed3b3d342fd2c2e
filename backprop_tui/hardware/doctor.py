"""What could keep a run or the screen from working on this machine, each with the next step."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from backprop_tui.config import paths
from backprop_tui.hardware import extras
from backprop_tui.hardware.gpu import driver_version, read_gpus
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

Level = Literal["ok", "warn", "fail"]

#: Below this a single checkpoint of a small adapter may not fit.
_DISK_WARN = 5_000_000_000
_DISK_FAIL = 200_000_000
_ASK_WITHIN = 3.0
_LOGIND = ("/etc/systemd/logind.conf", "/run/systemd/logind.conf", "/usr/lib/systemd/logind.conf")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `fail` means something will not work, `warn` that it may surprise; `next_step` is "" when ok."""

    name: str
    level: Level
    found: str
    next_step: str = ""

    def to_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return {"name": self.name, "level": self.level, "found": self.found, "next": self.next_step}


def examine(environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Every check, in the order people read them. No heavy package is imported."""
    return [
        *_installation(),
        *_gpu(),
        *_places(),
        *_settings(),
        *_terminal(environ),
        *_logout(),
    ]


def _installation() -> Iterator[Check]:
    found = f"{platform.python_version()} at {sys.executable}"
    old = sys.version_info < (3, 11)
    yield Check("python", "fail" if old else "ok", found, "Install Python 3.11 or newer." if old else "")
    for extra, floors in extras.FLOORS.items():
        absent = extras.missing(extra)
        if absent:
            pip = f"Run `pip install 'backprop-tui[{extra}]'` to train on this machine."
            yield Check(f"[{extra}]", "warn", f"not installed: {', '.join(absent)}", pip)
            continue
        versions = {name: held for name in floors if (held := extras.installed_version(name)) is not None}
        low = [
            f"{name} {held} (needs {floors[name]})"
            for name, held in versions.items()
            if extras.below(held, floors[name])
        ]
        listed = ", ".join(f"{name} {held}" for name, held in versions.items())
        upgrade = f"Run `pip install -U 'backprop-tui[{extra}]'`."
        yield (
            Check(f"[{extra}]", "fail", f"too old: {', '.join(low)}", upgrade)
            if low
            else Check(f"[{extra}]", "ok", listed)
        )


def _gpu() -> Iterator[Check]:
    gpus, reason = read_gpus()
    if not gpus:
        yield Check(
            "gpu", "warn", reason or "none", "Training runs on the CPU: fine for the demo, slow for real models."
        )
        return
    driver = driver_version() or "of unknown version"
    for gpu in gpus:
        total = gpu.get("memory_total")
        memory = "memory unknown" if total is None else f"{total / 1e9:.0f} GB"
        yield Check(f"gpu {gpu['index']}", "ok", f"{gpu.get('name') or 'unknown'}, {memory}, driver {driver}")


def _places() -> Iterator[Check]:
    place = paths.data_dir()
    existing = next(parent for parent in (place, *place.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Check(
            "runs", "fail", f"{safe_text(place)} can't be written", "Set BACKPROP_DATA_DIR to a place of your own."
        )
    else:
        free = shutil.disk_usage(existing).free
        level: Level = "fail" if free < _DISK_FAIL else "warn" if free < _DISK_WARN else "ok"
        step = "" if level == "ok" else "Free some space, or set BACKPROP_DATA_DIR to a roomier disk."
        yield Check("runs", level, f"{safe_text(place)}, {free / 1e9:.1f} GB free", step)
    try:
        yield Check("runtime", "ok", safe_text(paths.runtime_dir()))
    except BackpropError as error:
        yield Check("runtime", "fail", error.cause, error.next_step)


def _settings() -> Iterator[Check]:
    from backprop_tui.config.presets import preset_problems
    from backprop_tui.config.settings import load_settings, settings_file, unknown_variables

    try:
        load_settings()
        yield Check("settings", "ok", safe_text(settings_file()))
    except BackpropError as error:
        yield Check("settings", "fail", error.cause, error.next_step)
    for name in unknown_variables():
        yield Check(
            "environment", "warn", f"{safe_text(name)} means nothing", "Check its spelling with `backprop config`."
        )
    for problem in preset_problems():
        yield Check("preset", "warn", problem.cause, problem.next_step)


def _terminal(environ: Mapping[str, str]) -> Iterator[Check]:
    term = environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        step = "The app needs a real terminal; `backprop watch --line` works here."
        yield Check("terminal", "warn", f"TERM is {term or 'not set'}", step)
    else:
        full = environ.get("COLORTERM") in ("truecolor", "24bit")
        colour = "24-bit colour" if full else "256 colours" if "256color" in term else "16 colours"
        yield Check("terminal", "ok", f"{safe_text(term)}, {colour}{', NO_COLOR' if environ.get('NO_COLOR') else ''}")
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if "utf" not in locale.lower():
        step = "Set LANG=C.UTF-8, or use `backprop --ascii`."
        yield Check("characters", "warn", f"the locale is {safe_text(locale) or 'not set'}", step)
    else:
        yield Check("characters", "ok", safe_text(locale))
    if environ.get("TMUX"):
        yield from _tmux(environ)


def _tmux(environ: Mapping[str, str]) -> Iterator[Check]:
    answer = _ask("tmux", "show-options", "-A", "-s", "escape-time")
    delay = int(answer.split()[-1]) if answer and answer.split()[-1].isdigit() else None
    if delay is not None and delay > 50:
        yield Check(
            "tmux escape-time", "warn", f"{delay} ms after every Esc", "Put `set -s escape-time 10` in ~/.tmux.conf."
        )
    if not environ.get("COLORTERM"):
        step = "Put `set -as terminal-features ',*:RGB'` in ~/.tmux.conf if your terminal has 24-bit colour."
        yield Check("tmux colour", "ok", f"256 colours. {step}")


def _logout() -> Iterator[Check]:
    """Whether systemd ends a person's processes when the last session closes."""
    if not os.path.isdir("/run/systemd/system"):
        return
    if not _kills_user_processes():
        yield Check("logout", "ok", "runs go on after logging out")
        return
    user = _user()
    linger = _ask("loginctl", "show-user", user, "--property=Linger")
    if linger == "Linger=yes":
        yield Check("logout", "ok", "lingering is on, runs go on after logging out")
    else:
        step = f"Run `loginctl enable-linger {user}`, or keep one session (tmux) open."
        yield Check("logout", "warn", "this system ends all processes when you log out", step)


def _user() -> str:
    import getpass

    try:
        return safe_text(getpass.getuser(), limit=64)
    except (OSError, KeyError):
        return str(os.getuid())


def _kills_user_processes() -> bool:
    for name in _LOGIND:
        try:
            with open(name, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                for line in file:
                    key, _, value = line.strip().partition("=")
                    if key == "KillUserProcesses":
                        return value.strip().lower() in ("yes", "true", "on", "1")
        except OSError:
            continue
    return False


def _ask(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
