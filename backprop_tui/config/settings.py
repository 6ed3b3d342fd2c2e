"""The person's settings: `settings.toml`, overridden by `.env` beside it, overridden by `BACKPROP_…` variables.

A `.env` in the working directory is never read: a downloaded folder must not steer the program.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import TomlConfigSettingsSource

from backprop_tui.config import paths, toml_edit
from backprop_tui.config.files import replace_file
from backprop_tui.config.presets import DEFAULT_PRESET
from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.errors import UnavailableError, UsageError
from backprop_tui.protocol.limits import LIMITS
from backprop_tui.protocol.text import safe_text

ENV_PREFIX = "BACKPROP_"
#: When a change takes effect: at once in an open app, at the next start, with the next run that is prepared.
Effect = Literal["now", "start", "run"]
#: Variables of ours that are not settings: places, and what the host hands its worker.
OTHER_VARIABLES = frozenset(
    f"{ENV_PREFIX}{name}"
    for name in (
        "DATA_DIR",
        "CONFIG_DIR",
        "CACHE_DIR",
        "RUNTIME_DIR",
        "EVENTS_FD",
        "CONTROL_FD",
        "READY_FD",
        "ATTEMPT",
        "RESUME",
        "VIEW_ONLY",
        "SERVE_PASSWORD",
    )
)


def _field(default: Any, words: str, *, effect: Effect, group: str, **limits: Any) -> Any:
    """A setting: what it is, in which group it is shown, and when a change of it takes effect."""
    return Field(default=default, description=words, json_schema_extra={"effect": effect, "group": group}, **limits)


def _limit(name: str) -> Any:
    """A limit of runs that have none of their own."""
    limit = LIMITS[name]
    words = f"{limit.help} ({limit.unit})"
    return _field(limit.default, words, effect="run", group="safety", ge=limit.low, le=limit.high, allow_inf_nan=False)


class Settings(BaseSettings):
    """What the person prefers. The settings screen, `backprop config` and their checks are made from these fields."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="ignore", frozen=True, validate_default=True, case_sensitive=False
    )

    theme: str = _field("backprop-dark", "colour theme of the app", effect="now", group="look", max_length=80)
    ascii: bool = _field(False, "only ASCII signs, also where the terminal could show more", effect="now", group="look")
    marks: Literal["braille", "blocks"] = _field(
        "braille", "signs of the charts; blocks for fonts without good braille", effect="now", group="look"
    )
    profile: Literal["auto", "local", "ssh", "low"] = _field(
        "auto", "how often the screen is redrawn; auto looks at the connection", effect="now", group="terminal"
    )
    unfocused: Literal["hold", "live"] = _field(
        "hold", "what the screen does while its window or pane has no focus; hold sends nothing",
        effect="now", group="terminal",
    )  # fmt: skip
    mouse: bool = _field(True, "clicks and wheel; off leaves the mouse to the terminal", effect="now", group="terminal")
    notify: Literal["off", "auto", "bell", "osc9", "osc777"] = _field(
        "off", "how the terminal tells of an end, a failure or a pause while you look elsewhere",
        effect="now", group="terminal",
    )  # fmt: skip
    title: bool = _field(True, "state and progress of the run in the window's title", effect="now", group="terminal")
    restore: bool = _field(
        True, "begin where you left: room, run, zoom, filters, what was being prepared", effect="start", group="start"
    )
    keys: dict[str, str] = Field(
        default_factory=dict, description="keys of the app's actions, by the action's name",
        json_schema_extra={"effect": "start", "group": "start"},
    )  # fmt: skip
    model: str = _field(
        "demo", "base model when none is named", effect="run", group="runs", min_length=1, max_length=1000
    )
    preset: str = _field(
        DEFAULT_PRESET, "preset when none is named", effect="run", group="runs", min_length=1, max_length=120
    )
    price_per_kwh: float = _field(
        0.0, "price of a kilowatt-hour; 0 leaves energy out of a run's cost",
        effect="now", group="runs", ge=0, le=1_000_000, allow_inf_nan=False,
    )  # fmt: skip
    price_per_gpu_hour: float = _field(
        0.0, "price of an hour of one GPU; 0 leaves hours out of a run's cost",
        effect="now", group="runs", ge=0, le=1_000_000, allow_inf_nan=False,
    )  # fmt: skip
    currency: str = _field("", "what stands behind a cost, such as € or USD", effect="now", group="runs", max_length=8)
    start_limit: int = _field(
        3, "runs that may be started within a minute; 0 is any number", effect="now", group="limits", ge=0, le=100_000
    )
    export_limit: int = _field(
        5, "results that may be saved elsewhere within a minute; 0 is any number",
        effect="now", group="limits", ge=0, le=100_000,
    )  # fmt: skip
    queue_on_failure: Literal["next", "hold"] = _field(
        "next", "what the queue does after a run that failed: start the next, or hold until it is let go",
        effect="now", group="runs",
    )  # fmt: skip
    warn_celsius: float = _limit("warn_celsius")
    pause_celsius: float = _limit("pause_celsius")
    stop_celsius: float = _limit("stop_celsius")
    cool_celsius: float = _limit("cool_celsius")
    heat_readings: int = _limit("heat_readings")
    heat_tries: int = _limit("heat_tries")
    cool_s: float = _limit("cool_s")
    vram_percent: float = _limit("vram_percent")
    power_percent: float = _limit("power_percent")
    ram_percent: float = _limit("ram_percent")
    disk_gb: float = _limit("disk_gb")
    stall_s: float = _limit("stall_s")
    stall_steps: float = _limit("stall_steps")
    stall_grace_s: float = _limit("stall_grace_s")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over `.env` over `settings.toml` over the defaults."""
        return (
            init_settings,
            env_settings,
            DotEnvSettingsSource(settings_cls, env_file=dotenv_file()),
            TomlConfigSettingsSource(settings_cls, toml_file=settings_file()),
        )


def settings_file() -> Path:
    """Where `settings.toml` lives."""
    return paths.config_dir() / "settings.toml"


def dotenv_file() -> Path:
    """The only `.env` that is read."""
    return paths.config_dir() / ".env"


def load_settings() -> Settings:
    """The settings now in force.

    Raises:
        UsageError: an unknown key (nearest match named), a value that does not fit, or a file that is not TOML.
        UnavailableError: `.env` may be read by others.
    """
    _toml_words()
    _dotenv_words()
    try:
        return Settings()
    except ValidationError as error:
        raise _invalid(error) from None


def sources() -> dict[str, str]:
    """Where each setting's value comes from: a variable's name, a file's path, or "default"."""
    toml, dotenv, origin = _toml_words(), _dotenv_words(), {}
    environment = {name.upper() for name in os.environ}
    for key in Settings.model_fields:
        variable = f"{ENV_PREFIX}{key}".upper()
        if variable in environment:
            origin[key] = variable
        elif variable in dotenv:
            origin[key] = str(dotenv_file())
        elif key in toml:
            origin[key] = str(settings_file())
        else:
            origin[key] = "default"
    return origin


def save_setting(key: str, value: str | bool | int | float) -> None:
    """Write one setting into `settings.toml`, leaving the rest of the file and its comments as they are.

    Raises:
        UsageError: unknown key, a value that does not fit, or a file that can't be edited; it is then untouched.
        UnavailableError: the file can't be written.
    """
    accepted = check_setting(key, value)
    _rewrite(key, lambda before: toml_edit.set_key(before, key, accepted))


def drop_setting(key: str) -> None:
    """Take one setting out of `settings.toml`, so that its default counts again; the rest stays as it is.

    Raises:
        UsageError: unknown key, or a file that can't be edited; it is then untouched.
        UnavailableError: the file can't be written.
    """
    _check_known(key, "setting")
    _rewrite(key, lambda before: toml_edit.drop_key(before, key))


def check_setting(key: str, value: str | bool | int | float) -> str | bool | int | float:
    """The value as it would be stored.

    Raises:
        UsageError: unknown key or a value that does not fit.
    """
    _check_known(key, "setting")
    if key == "keys":
        raise UsageError(
            "CONFIG_INVALID", "keys is a table.", f'Edit {settings_file()}: [keys], then "run.stop" = "X".'
        )
    try:
        accepted: str | bool | int | float = getattr(Settings.model_validate({key: value}), key)
    except ValidationError as error:
        raise _invalid(error) from None
    return accepted


def _rewrite(key: str, change: Callable[[str], str]) -> None:
    refuse_if_view_only()
    # A dotfile manager's link stays a link.
    file = Path(os.path.realpath(settings_file()))
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        after = change(before)
        if after != before:
            replace_file(file, after)
    except (toml_edit.NotEditable, UnicodeDecodeError) as error:
        raise UsageError("CONFIG_INVALID", f"{file}: {safe_text(error)}.", f"Change `{key}` in the file.") from None
    except OSError as error:
        raise UnavailableError(
            "CONFIG_NOT_WRITABLE", f"{file} can't be written: {error.strerror}.", "Make the directory writable."
        ) from None


def unknown_variables() -> list[str]:
    """`BACKPROP_…` variables in the environment that mean nothing, most likely misspelt."""
    known = {f"{ENV_PREFIX}{key}".upper() for key in Settings.model_fields} | OTHER_VARIABLES
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)


def _toml_words() -> dict[str, Any]:
    file = settings_file()
    try:
        words = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UnavailableError(
            "CONFIG_UNREADABLE", f"{file} can't be read: {error.strerror}.", "Make it readable."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("CONFIG_INVALID", f"{file}: {safe_text(error)}.", "Mend the file or move it away.") from None
    for key in words:
        _check_known(key, str(file))
    return words


def _dotenv_words() -> dict[str, str | None]:
    file = dotenv_file()
    try:
        info = file.stat()
    except OSError:
        return {}
    if os.name == "posix" and stat.S_IMODE(info.st_mode) & 0o077:
        raise UnavailableError("ENV_FILE_OPEN", f"{file} can be read by other users.", f"Run `chmod 600 {file}`.")
    from dotenv import dotenv_values

    try:
        words = {name.upper(): value for name, value in dotenv_values(file).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("CONFIG_INVALID", f"{file}: {safe_text(error)}.", "Mend the file or move it away.") from None
    for name in words:
        if name.startswith(ENV_PREFIX) and name not in OTHER_VARIABLES:
            _check_known(name.removeprefix(ENV_PREFIX).lower(), str(file))
    return words


def _check_known(key: str, where: str) -> None:
    if key in Settings.model_fields:
        return
    near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.5)
    hint = f"Did you mean `{near[0]}`?" if near else f"Settings are {', '.join(Settings.model_fields)}."
    what = f"There is no setting {safe_text(key, limit=60)!r}"
    cause = f"{what}." if where == "setting" else f"{what} ({safe_text(where)})."
    raise UsageError("CONFIG_UNKNOWN_KEY", cause, hint, {"nearest": near[0] if near else None})


def _invalid(error: ValidationError) -> UsageError:
    first = error.errors(include_url=False, include_input=False)[0]
    key = str(first["loc"][0]) if first["loc"] else "settings"
    field = Settings.model_fields.get(key)
    choices = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    if choices:
        hint = f"Choose one of {', '.join(map(str, choices))}."
    elif field is not None and field.annotation is bool:
        hint = "Write true or false."
    elif key == "keys":
        hint = 'Write a table: [keys], then "run.stop" = "X".'
    else:
        hint = ""
    return UsageError("CONFIG_INVALID", f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}.", hint)
