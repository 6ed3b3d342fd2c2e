"""Settings written as a preset file."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec


def preset_toml(
    spec: RunSpec, title: str, preset: str, left_out: Collection[str], advised: Collection[str] = ()
) -> str:
    """The TOML text of a preset.

    Args:
        spec: the settings.
        title: what the preset is called; empty takes the run's.
        preset: name of the preset the settings came from.
        left_out: keys that are not written.
        advised: keys that are left to advice instead of their present value.
    """
    from backprop_tui.config.presets import ADVISED
    from backprop_tui.protocol.fields import settings

    lines = [
        f"title = {_toml(title or spec.title)}",
        f"about = {_toml(f'From the preset {preset}.')}",
        "",
        "[settings]",
    ]
    for setting in settings():
        value = setting.get(spec)
        if value is None or value == "" or setting.key in left_out:
            continue
        if setting.key in advised:
            value = ADVISED
        lines.append(f"{setting.key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
