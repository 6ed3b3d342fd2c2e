"""What has been chosen for a run, as one value that is replaced whole: so undo is a list of them, and a file can hold one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Values of settings that a file of JSON gives back as they were, and mappings of columns remembered at most.
_PLAIN = (str, int, float, bool, type(None))
_MAPPINGS = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """Data and model (None: as the preset or the spec's default says), the preset, and what differs from it by key."""

    data: str | None = None
    model: str | None = None
    preset: str = "balanced"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    #: Which column is what, by the data it was said of: another file has other columns.
    mappings: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> str:
        """The mapping that is used; empty goes by the columns' names."""
        return str(self.overrides.get("columns", ""))

    def with_columns(self, columns: str) -> Choice:
        """The same with this mapping in use."""
        kept = {key: value for key, value in self.overrides.items() if key != "columns"}
        return replace(self, overrides={**kept, "columns": columns} if columns else kept)

    def with_data(self, words: str, now: str) -> Choice:
        """The same on other data, with the mapping that was made for it.

        Args:
            words: the data that is wanted.
            now: the one whose mapping is in use.
        """
        mappings = {**self.mappings, now: self.columns}
        return replace(self, data=words, mappings=mappings).with_columns(mappings.get(words, ""))

    def to_words(self) -> dict[str, Any]:
        """JSON-ready; what JSON can't hold is left out."""
        plain = {key: value for key, value in self.overrides.items() if isinstance(value, _PLAIN)}
        mappings = dict(list(self.mappings.items())[-_MAPPINGS:])
        return {
            "data": self.data, "model": self.model, "preset": self.preset, "overrides": plain, "mappings": mappings
        }  # fmt: skip


def choice_of(words: Mapping[str, Any], preset: str) -> Choice:
    """Take back what `Choice.to_words` gave; whatever is odd is left out.

    Args:
        words: from a file, so anything.
        preset: the one where they name none.
    """
    named = words.get("preset")
    return Choice(
        _text(words.get("data")),
        _text(words.get("model")),
        named if isinstance(named, str) else preset,
        {key: value for key, value in _pairs(words.get("overrides")) if isinstance(value, _PLAIN)},
        {key: value for key, value in _pairs(words.get("mappings")) if isinstance(value, str)},
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value and "\0" not in value else None


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return [(str(key), found) for key, found in value.items()] if isinstance(value, dict) else []
