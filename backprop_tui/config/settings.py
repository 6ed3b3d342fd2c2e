"""The person's settings: `settings.toml`, overridden by `.env` beside it, overridden by `BACKPROP_…` variables.

A `.env` in the working directory is never read: a downloaded folder must not steer the program.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import TomlConfigSettingsSource

from backprop_tui.config import paths
from backprop_tui.config.files import replace_file
from backprop_tui.config.presets import DEFAULT_PRESET
from backprop_tui.protocol.errors import UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text

ENV_PREFIX = "BACKPROP_"
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
    )
)


class Settings(BaseSettings):
    """What the person prefers. Every field takes effect at the next start."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="ignore", frozen=True, validate_default=True, case_sensitive=False
    )

    theme: str = Field(default="backprop-dark", max_length=80, description="colour theme of the app")
    profile: Literal["auto", "local", "ssh", "low"] = Field(
        default="auto", description="how often the screen is redrawn; auto looks at the connection"
    )
    ascii: bool = Field(default=False, description="only ASCII signs, also where the terminal could show more")
    marks: Literal["braille", "blocks"] = Field(
        default="braille", description="signs of the charts; blocks for fonts without good braille"
    )
    keys: dict[str, str] = Field(default_factory=dict, description="keys of the app's actions, by the action's name")
    model: str = Field(default="demo", min_length=1, max_length=1000, description="base model when none is named")
    preset: str = Field(default=DEFAULT_PRESET, min_length=1, max_length=120, description="preset when none is named")

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


def save_setting(key: str, value: str | bool) -> None:
    """Write one setting into `settings.toml`, leaving the rest of the file and its comments as they are.

    Raises:
        UsageError: unknown key or a value that does not fit; the file is then untouched.
        UnavailableError: the file can't be written.
    """
    _check_known(key, "setting")
    if key == "keys":
        raise UsageError(
            "CONFIG_INVALID", "keys is a table.", f'Edit {settings_file()}: [keys], then "run.stop" = "X".'
        )
    try:
        accepted: str | bool = getattr(Settings.model_validate({key: value}), key)
    except ValidationError as error:
        raise _invalid(error) from None
    line = f"{key} = {_toml(accepted)}"
    file = settings_file()
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    table = re.search(r"(?m)^[ \t]*\[", before)
    head, rest = (before[: table.start()], before[table.start() :]) if table else (before, "")
    head, changed = re.subn(rf"(?m)^[ \t]*{key}[ \t]*=.*$", lambda _: line, head, count=1)
    if not changed:
        head = f"{head.rstrip()}\n{line}\n".lstrip() + ("\n" if rest else "")
    try:
        replace_file(file, head + rest)
    except OSError as error:
        raise UnavailableError(
            "CONFIG_NOT_WRITABLE", f"{file} can't be written: {error.strerror}.", "Make the directory writable."
        ) from None


def unknown_variables() -> list[str]:
    """`BACKPROP_…` variables in the environment that mean nothing, most likely misspelt."""
    known = {f"{ENV_PREFIX}{key}".upper() for key in Settings.model_fields} | OTHER_VARIABLES
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)


def _toml(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    escaped = "".join(f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else f"\\{c}" if c in '"\\' else c for c in value)
    return f'"{escaped}"'


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
