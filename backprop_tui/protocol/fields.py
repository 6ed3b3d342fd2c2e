"""The settings of a `RunSpec` as a flat list, and changing them by name.

One list feeds the Tune form, `--set`, `backprop presets` and the settings' documentation.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.spec import RunSpec

#: Sections of the form in the order shown: title and part of the spec ("" is the spec itself).
SECTIONS: tuple[tuple[str, str], ...] = (
    ("model", "model"),
    ("adapter", "lora"),
    ("task", "task"),
    ("answers and rewards", "grpo"),
    ("data", "data"),
    ("optimiser", "optim"),
    ("run", "run"),
    ("recovery", "recovery"),
    ("safety", "safety"),
    ("devices", "devices"),
    ("multi-run", "multi"),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One settable leaf. `part` is "" for fields of the spec itself; bounds are None where there are none."""

    key: str
    part: str
    section: str
    title: str
    help: str
    unit: str
    advanced: bool
    alias: str
    kind: Literal["int", "float", "bool", "str", "choice"]
    choices: tuple[str, ...]
    optional: bool
    default: Any
    minimum: float | None
    maximum: float | None
    when: str = ""
    words: Mapping[str, str] = field(default_factory=dict, hash=False)

    def get(self, spec: RunSpec) -> Any:
        """This setting's value in a spec."""
        return getattr(getattr(spec, self.part) if self.part else spec, self.key)


@cache
def settings() -> tuple[Setting, ...]:
    """Every settable leaf, in form order."""
    found = [_setting_of("name", RunSpec.model_fields["name"], "", "run")]
    for section, part in SECTIONS:
        model = RunSpec.model_fields[part].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        found += [_setting_of(key, field, part, section) for key, field in model.model_fields.items()]
    return tuple(found)


@cache
def _by_name() -> dict[str, Setting]:
    names: dict[str, Setting] = {}
    for setting in settings():
        names[setting.key] = setting
        if setting.part:
            names[f"{setting.part}.{setting.key}"] = setting
        if setting.alias:
            names[setting.alias] = setting
    return names


def find_setting(name: str) -> Setting:
    """The setting called `name`: its key, `part.key` or alias; dashes count as underscores.

    Raises:
        UsageError: no such setting; the nearest name is in the next step.
    """
    wanted = name.strip().lower().replace("-", "_")
    found = _by_name().get(wanted)
    if found is None:
        near = difflib.get_close_matches(wanted, _by_name(), n=1, cutoff=0.5)
        hint = f"Did you mean `{near[0]}`?" if near else "`backprop presets --settings` lists them all."
        raise UsageError(
            "SETTING_UNKNOWN", f"There is no setting {name!r}.", hint, {"nearest": near[0] if near else None}
        )
    return found


def parse_value(setting: Setting, text: str) -> Any:
    """Turn what a person typed into a value of the setting's kind (bounds are checked by the spec itself).

    Raises:
        UsageError: the text does not fit the kind.
    """
    value = text.strip()
    if setting.optional and value.lower() in ("", "none", "null"):
        return None
    try:
        if setting.kind == "int":
            as_float = float(value.replace("_", "").replace(",", ""))
            if as_float != int(as_float):
                raise ValueError
            return int(as_float)
        if setting.kind == "float":
            if value.endswith("%"):
                return float(value[:-1]) / 100.0
            return float(value.replace("_", ""))
    except (ValueError, OverflowError):
        raise UsageError(
            "SETTING_INVALID", f"{setting.key} takes a number, not {value!r}.", _range_words(setting)
        ) from None
    if setting.kind == "bool":
        if value.lower() in ("on", "true", "yes", "1"):
            return True
        if value.lower() in ("off", "false", "no", "0"):
            return False
        raise UsageError("SETTING_INVALID", f"{setting.key} is on or off, not {value!r}.", "Write on or off.")
    value = setting.words.get(value.lower(), value)
    if setting.kind == "choice" and value not in setting.choices:
        near = difflib.get_close_matches(value, setting.choices, n=1)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        raise UsageError(
            "SETTING_INVALID",
            f"{setting.key} can't be {value!r}.",
            f"{hint}Choose one of {', '.join(setting.choices)}.",
        )
    return value


def with_overrides(spec: RunSpec, overrides: Mapping[str, Any]) -> RunSpec:
    """A new spec with some settings changed by name; text values are parsed, others taken as they are.

    Raises:
        UsageError: an unknown name, or a value outside the setting's bounds.
    """
    words = spec.model_dump()
    for name, raw in overrides.items():
        setting = find_setting(name)
        value = parse_value(setting, raw) if isinstance(raw, str) else raw
        target = words[setting.part] if setting.part else words
        target[setting.key] = value
    return validate_spec(words)


def validate_spec(words: Mapping[str, Any]) -> RunSpec:
    """A spec from plain data.

    Raises:
        UsageError: the first field that does not fit, by name, with its range.
    """
    try:
        return RunSpec.model_validate(dict(words))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        key = path[-1] if path else ""
        known = _by_name().get(key)
        if first["type"] == "extra_forbidden" and not known:
            find_setting(key)
        what = f"{key}: {first['msg']}" if key else str(first["msg"]).removeprefix("Value error, ")
        if known and "input" in first:
            what = f"{key} can't be {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        raise UsageError("SETTING_INVALID", f"{what}.", _range_words(known) if known else "") from None


def differences(spec: RunSpec, base: RunSpec) -> list[tuple[Setting, Any, Any]]:
    """Settings whose value differs: (setting, value in base, value in spec)."""
    pairs = ((setting, setting.get(base), setting.get(spec)) for setting in settings())
    return [(setting, before, after) for setting, before, after in pairs if before != after]


def format_value(setting: Setting, value: Any) -> str:
    """A value as people write it: `2.0e-4`, `on`, `3 %` stays `0.03` only where it is a count."""
    if value is None or value == "":
        return "(auto)" if setting.key == "name" else "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        if setting.key == "learning_rate":
            mantissa, exponent = f"{value:.2e}".split("e")
            mantissa = mantissa[:-1] if mantissa.endswith("0") else mantissa
            return f"{mantissa}e{int(exponent)}"
        if setting.key in ("eval_split", "warmup", "eval_every", "save_every") and 0 < value < 1:
            return f"{value * 100:g} %"
        return f"{value:g}"
    return str(value)


def _range_words(setting: Setting) -> str:
    if setting.kind == "choice":
        return f"Choose one of {', '.join(setting.choices)}."
    low, high = setting.minimum, setting.maximum
    if low is not None and high is not None:
        return f"Give a value from {low:g} to {high:g}."
    if low is not None:
        return f"Give a value of at least {low:g}."
    return ""


def _setting_of(key: str, info: FieldInfo, part: str, section: str) -> Setting:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    annotation, optional = info.annotation, False
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        annotation, optional = members[0], True
    choices: tuple[str, ...] = ()
    kind: Literal["int", "float", "bool", "str", "choice"]
    if get_origin(annotation) is Literal:
        kind, choices = "choice", tuple(str(choice) for choice in get_args(annotation))
    elif annotation is bool:
        kind = "bool"
    elif annotation is int:
        kind = "int"
    elif annotation is float:
        kind = "float"
    else:
        kind = "str"
    words = extra.get("words")
    low = high = None
    for rule in info.metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return Setting(
        key=key,
        part=part,
        section=section,
        title=info.title or key,
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        advanced=bool(extra.get("advanced", False)),
        alias=str(extra.get("alias", "")),
        kind=kind,
        choices=choices,
        optional=optional,
        default=info.default,
        minimum=low,
        maximum=high,
        when=str(extra.get("when", "")),
        words={typed: str(meant) for typed, meant in words.items()} if isinstance(words, dict) else {},
    )
