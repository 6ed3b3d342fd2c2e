"""Which settings differ between runs. Plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Leaves of a spec that name the run or the file instead of deciding anything.
_LABELS = frozenset(("name", "format"))


class _Absent:
    """A setting the spec of a run does not have, which is not the same as an empty one."""

    def __repr__(self) -> str:
        return "–"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Differing:
    """A setting with more than one value over some runs.

    Attributes:
        key: its key. section, title: where the form has it, and its words there. values: one per run, or `ABSENT`.
    """

    key: str
    section: str
    title: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether every run has a number there."""
        return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.values)


def differing(settings: Sequence[Mapping[str, Any]]) -> list[Differing]:
    """Settings that differ, in the order of the form; those this version doesn't know come last under `other`.

    Args:
        settings: the leaves of each run's spec by key.
    """
    from backprop_tui.protocol.fields import settings as known

    places = {setting.key: (setting.section, setting.title) for setting in known()}
    order = list(places)
    keys = dict.fromkeys(key for leaves in settings for key in leaves if key not in _LABELS)
    found = []
    for key in sorted(keys, key=lambda key: order.index(key) if key in places else len(order)):
        values = tuple(leaves.get(key, ABSENT) for leaves in settings)
        if any(not _same(value, values[0]) for value in values[1:]):
            section, title = places.get(key, ("other", key.replace("_", " ")))
            found.append(Differing(key, section, title, values))
    return found


def groups(values: Sequence[Any]) -> tuple[int, ...]:
    """The number of each value's group, counted by first appearance: `(0, 1, 0)` for a, b, a."""
    seen: list[Any] = []
    found = []
    for value in values:
        at = next((at for at, other in enumerate(seen) if _same(value, other)), None)
        if at is None:
            at = len(seen)
            seen.append(value)
        found.append(at)
    return tuple(found)


def _same(one: Any, other: Any) -> bool:
    # `True == 1` in Python, but on and one are different things to say of a setting.
    return one is other or (isinstance(one, bool) == isinstance(other, bool) and bool(one == other))
