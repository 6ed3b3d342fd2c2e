"""What every part of a `RunSpec` is made of: `Part`, and `setting`, which declares one field with its words and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def setting(
    default: Any,
    title: str,
    help: str,
    *,
    unit: str = "",
    advanced: bool = False,
    alias: str = "",
    when: str = "",
    words: Mapping[str, str] | None = None,
    **bounds: Any,
) -> Any:
    """Declare a field.

    Args:
        default: its value where nobody says otherwise.
        title: what the form calls it.
        help: what it does, as the form's help line and the documentation say it.
        unit: what is counted.
        advanced: whether the form shows it only on demand.
        alias: a second name for `--set`.
        when: where it has an effect, as `other=value`, `other=value|value` or `other!=value`, several joined by `,`;
            empty is everywhere.
        words: what a person may type instead of one of the choices.
        bounds: `ge`, `gt`, `le`, `lt` and the like, for pydantic.
    """
    extra: dict[str, Any] = {"unit": unit, "advanced": advanced, "alias": alias, "when": when}
    if words:
        extra["words"] = dict(words)
    return Field(default=default, title=title, description=help, json_schema_extra=extra, **bounds)


class Part(BaseModel):
    """One part: immutable, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())
