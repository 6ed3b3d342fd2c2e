"""What can be said of each setting without knowing its value: made from the fields of the model, for screens and help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from backprop_tui.config.settings import Effect, Settings

Kind = Literal["choice", "switch", "number", "text", "table"]

#: When a change takes effect, in words.
EFFECTS: dict[str, str] = {"now": "at once", "start": "at the next start", "run": "with the next run prepared"}


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting.

    Attributes:
        key: its name. help: what it is, half a sentence. group: what it belongs to. effect: when a change counts.
        kind: how it is edited. choices: what a choice may be, in order. low, high: bounds of a number, or of a
            text's length; None where there is none.
    """

    key: str
    help: str
    group: str
    effect: Effect
    kind: Kind
    default: Any
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> str:
        """What it may be, in words."""
        if self.kind == "choice":
            return ", ".join(self.choices)
        if self.kind == "switch":
            return "on or off"
        if self.kind == "table":
            return "a table"
        what = "a number" if self.kind == "number" else "a text"
        unit = "" if self.kind == "number" else " characters"
        low, high = (None if bound is None else f"{bound:g}" for bound in (self.low, self.high))
        if low is not None and high is not None:
            return f"{what}, {low} to {high}{unit}"
        if high is not None:
            return f"{what}, at most {high}{unit}"
        return f"{what}, at least {low}{unit}" if low is not None else what


def settings_info(model: type[BaseModel] = Settings) -> tuple[SettingInfo, ...]:
    """Every field of a settings model, in its order."""
    return tuple(_info(key, field) for key, field in model.model_fields.items())


def shown(value: Any) -> str:
    """A value in words; foreign text is not made harmless here."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return f"{len(value)} set" if value else "none set"
    return str(value) if value != "" else "–"


def _info(key: str, field: FieldInfo) -> SettingInfo:
    extra = cast("dict[str, str]", field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {})
    limits: dict[str, float] = {}
    for rule in field.metadata:
        for name, end in (("ge", "low"), ("gt", "low"), ("min_length", "low"), ("le", "high"), ("lt", "high"),
                          ("max_length", "high")):  # fmt: skip
            if getattr(rule, name, None) is not None:
                limits[end] = float(getattr(rule, name))
    kind: Kind = "text"
    choices: tuple[str, ...] = ()
    if get_origin(field.annotation) is Literal:
        kind, choices = "choice", tuple(map(str, get_args(field.annotation)))
    elif field.annotation is bool:
        kind = "switch"
    elif field.annotation in (int, float):
        kind = "number"
    elif get_origin(field.annotation) is dict:
        kind = "table"
    return SettingInfo(
        key, field.description or "", extra.get("group", ""), cast("Effect", extra.get("effect", "start")), kind,
        field.get_default(call_default_factory=True), choices, limits.get("low"), limits.get("high"),
    )  # fmt: skip
