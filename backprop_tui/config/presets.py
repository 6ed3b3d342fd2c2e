"""Presets: named starting points for a run, one TOML file each.

The bundled ones lie beside this module; the person's own in `config_dir()/presets` come on top and win over a bundled
one of the same name. A file holds `title`, `about`, perhaps `source`, and a `[settings]` table of setting names as in `--set`.
`learning_rate = "advised"` asks for a rate that fits the model's width, `rank = "advised"` for a rank that fits the rows.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.config import paths
from backprop_tui.config.advice import Sizes, rank_advice, rate_advice
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

DEFAULT_PRESET = "balanced"
ADVISED = "advised"
#: Settings that may be left to advice.
ADVISABLE = ("learning_rate", "rank")

_KEYS = ("title", "about", "source", "settings")
_SHOWN_FIRST = ("fast", "balanced", "quality", "demo", "full", "reasoning", "pretrain")
_SHOWN_LAST = "classic-"


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset as written; `settings` may hold the word "advised" where a spec holds a number."""

    name: str
    title: str
    about: str
    settings: Mapping[str, Any]
    path: Path
    bundled: bool
    source: str = ""

    @property
    def advised(self) -> tuple[str, ...]:
        """Settings it leaves to advice."""
        return tuple(key for key in ADVISABLE if self.settings.get(key) == ADVISED)


def load_presets() -> dict[str, Preset]:
    """Every usable preset by name: the bundled ones first, then the person's by name."""
    return _read_all()[0]


def preset_problems() -> list[UsageError]:
    """One error for each preset file that can't be used."""
    return list(_read_all()[1].values())


def find_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UsageError: none is called so (the nearest name is in the next step), or its file can't be used.
    """
    presets, problems = _read_all()
    if name in problems:
        raise problems[name]
    if name not in presets:
        near = difflib.get_close_matches(name.lower(), presets, n=1, cutoff=0.5)
        hint = f"Did you mean `{near[0]}`?" if near else f"Choose one of {', '.join(presets)}."
        detail = {"nearest": near[0] if near else None}
        raise UsageError("PRESET_UNKNOWN", f"There is no preset {safe_text(name, limit=60)!r}.", hint, detail)
    return presets[name]


def preset_spec(
    name: str,
    model_dir: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    sizes: Sizes | None = None,
) -> RunSpec:
    """The spec a preset stands for, with `overrides` on top.

    Args:
        name: which preset.
        model_dir: the base model's directory when it is at hand; the advised learning rate follows its width.
        overrides: settings by name, as in `--set`.
        sizes: of the model and the rows, as far as they are known; the advised rank follows them.

    Raises:
        UsageError: unknown preset or setting, or a value out of bounds.
    """
    from backprop_tui.protocol.fields import find_setting, with_overrides
    from backprop_tui.protocol.spec import RunSpec

    preset = find_preset(name)
    # By key, not by what was typed: an override of `lr` must replace the preset's `learning_rate`.
    chosen = {find_setting(key).key: value for key, value in preset.settings.items()}
    chosen |= {find_setting(key).key: value for key, value in (overrides or {}).items()}
    advised = [key for key in ADVISABLE if chosen.get(key) == ADVISED]
    for key in advised:
        del chosen[key]
    spec = with_overrides(RunSpec(preset=name), chosen)
    if not advised:
        return spec
    width, family = _width_and_family(model_dir)
    known = replace(sizes or Sizes(), width=width, family=family)
    values = {"learning_rate": rate_advice(spec.model.method, known).value, "rank": int(rank_advice(known).value)}
    return with_overrides(spec, {key: values[key] for key in advised})


def _width_and_family(model_dir: Path | None) -> tuple[int | None, str | None]:
    if model_dir is None:
        return None, None
    try:
        words = json.loads((model_dir / "config.json").read_bytes())
    except (OSError, ValueError):
        return None, None
    if not isinstance(words, dict):
        return None, None
    text = words.get("text_config")
    hidden = words.get("hidden_size") or (text.get("hidden_size") if isinstance(text, dict) else None)
    return hidden if isinstance(hidden, int) else None, str(words.get("model_type", ""))


def _read_all() -> tuple[dict[str, Preset], dict[str, UsageError]]:
    presets: dict[str, Preset] = {}
    problems: dict[str, UsageError] = {}
    for place, bundled in ((Path(__file__).parent / "presets", True), (paths.config_dir() / "presets", False)):
        try:
            files = sorted(file for file in place.glob("*.toml") if file.is_file())
        except OSError:
            continue
        for file in files:
            try:
                presets[file.stem] = _read(file, bundled)
                problems.pop(file.stem, None)
            except UsageError as error:
                problems[file.stem] = error
    order = {name: at for at, name in enumerate(_SHOWN_FIRST)}
    names = sorted(presets, key=lambda name: (order.get(name, len(order)), name.startswith(_SHOWN_LAST), name))
    return {name: presets[name] for name in names}, problems


def _read(file: Path, bundled: bool) -> Preset:
    def problem(what: str, next_step: str) -> UsageError:
        return UsageError("PRESET_INVALID", f"{safe_text(file)}: {safe_text(what)}.", next_step)

    try:
        words = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise problem(error.strerror or "unreadable", "Make it readable or move it away.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise problem(str(error), "Mend the file or move it away.") from None
    for key in words:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise problem(f"unknown key {key!r}", f"Did you mean `{near[0]}`?" if near else "Put it under [settings].")
    settings = words.get("settings", {})
    if not isinstance(settings, dict):
        raise problem("settings is not a table", "Write a [settings] table.")
    title, about, source = (safe_text(words.get(key, "")) for key in ("title", "about", "source"))
    return Preset(file.stem, title or safe_text(file.stem), about, settings, file, bundled, source)
