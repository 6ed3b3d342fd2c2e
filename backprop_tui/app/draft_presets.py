"""Presets around a draft: where a new one starts, and saving one as a preset of the person's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.config import paths
from backprop_tui.protocol.errors import BackpropError, UnavailableError, UsageError

if TYPE_CHECKING:
    from backprop_tui.config.presets import Preset

#: The bundled data and the bundled model.
DEMO = "demo"
_PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,39}")


@dataclass(frozen=True, slots=True)
class Usual:
    """Where a new draft starts: the presets there are, the person's usual model and preset, and what was wrong."""

    presets: Mapping[str, Preset]
    model: str
    preset: str
    problems: tuple[BackpropError, ...]


def read_usual() -> Usual:
    """Read presets and settings, and import what specs need; for a thread, once."""
    from backprop_tui.config.presets import DEFAULT_PRESET, load_presets, preset_problems
    from backprop_tui.config.settings import load_settings
    from backprop_tui.protocol import fields

    fields.settings()
    presets, problems = load_presets(), [*preset_problems()]
    model, preset = DEMO, DEFAULT_PRESET
    try:
        settings = load_settings()
        model, preset = settings.model, settings.preset
    except BackpropError as error:
        return Usual(presets, model, preset, (*problems, error))
    return Usual(presets, model, preset if preset in presets else DEFAULT_PRESET, tuple(problems))


def write_preset(name: str, toml: str) -> Path:
    """Write a preset of the person's; returns its file.

    Raises:
        UsageError: the name will not do or is taken.
        UnavailableError: the file can't be written, or nothing may be.
    """
    from backprop_tui.config.files import replace_file
    from backprop_tui.config.view_only import refuse_if_view_only

    refuse_if_view_only()
    check_preset_name(name)
    file = paths.config_dir() / "presets" / f"{name}.toml"
    try:
        replace_file(file, toml)
    except OSError as error:
        raise UnavailableError(
            "CONFIG_NOT_WRITABLE", f"{file} can't be written: {error.strerror}.", "Make the directory writable."
        ) from None
    return file


def check_preset_name(name: str) -> None:
    """Whether a new preset may be called so.

    Raises:
        UsageError: not a plain name, or one there is already.
    """
    from backprop_tui.config.presets import load_presets

    if not _PRESET_NAME.fullmatch(name) or name != name.strip():
        raise UsageError(
            "PRESET_NAME_INVALID", "A preset's name is letters, digits, blanks and . _ - only.", "Choose another name."
        )
    if name in load_presets() or (paths.config_dir() / "presets" / f"{name}.toml").exists():
        raise UsageError("PRESET_EXISTS", f"There is a preset called {name} already.", "Choose another name.")
