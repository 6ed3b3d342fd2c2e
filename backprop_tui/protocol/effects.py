"""Where a setting has an effect: the `when` of its declaration, asked of a spec and told in words.

The form leaves out what has no effect, and a setting somebody gives by name that would do nothing is refused. What a
preset or an earlier choice left behind is no mistake: it waits until it counts again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import Setting, find_setting
from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Condition:
    """One clause: another setting is (or, `negated`, is not) one of some values, written as people type them."""

    key: str
    values: tuple[str, ...]
    negated: bool

    def holds(self, spec: RunSpec) -> bool:
        """Whether it is so in a spec, and the other setting counts there itself."""
        setting = find_setting(self.key)
        return applies(setting, spec) and (_typed(setting.get(spec)) in self.values) is not self.negated

    @property
    def words(self) -> str:
        """`method is lora or qlora`."""
        names = [value or "empty" for value in self.values]
        listed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
        return f"{self.key} is {'not ' if self.negated else ''}{listed}"


@cache
def conditions(when: str) -> tuple[Condition, ...]:
    """The clauses of a `when`: `other=value`, `other=value|value`, `other!=value`, joined by `,`; all must hold."""
    found = []
    for clause in filter(None, (part.strip() for part in when.split(","))):
        key, equals, values = clause.partition("=")
        if not equals:
            raise ValueError(f"{clause!r} is no condition")
        found.append(Condition(key.removesuffix("!"), tuple(values.split("|")), key.endswith("!")))
    return tuple(found)


def applies(setting: Setting, spec: RunSpec) -> bool:
    """Whether the setting has an effect with the others as they are."""
    return all(condition.holds(spec) for condition in conditions(setting.when))


def without_effect(setting: Setting, spec: RunSpec) -> str:
    """What would have to be so for the setting to count, in words; empty where it counts."""
    return " and ".join(condition.words for condition in conditions(setting.when) if not condition.holds(spec))


def refuse_without_effect(spec: RunSpec, given: Iterable[str]) -> None:
    """Refuse settings that were given by name and would do nothing.

    Args:
        spec: the settings put together.
        given: names of those somebody gave.

    Raises:
        UsageError: SETTING_WITHOUT_EFFECT, with the condition that is not met.
    """
    for name in given:
        setting = find_setting(name)
        wanted = without_effect(setting, spec)
        if wanted:
            raise UsageError(
                "SETTING_WITHOUT_EFFECT",
                f"{setting.key} would do nothing here: it counts only where {wanted}.",
                f"Leave {setting.key} out, or set what it needs.",
                {"setting": setting.key, "needs": wanted},
            )


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return f"{value:g}"
    return "" if value is None else str(value)
