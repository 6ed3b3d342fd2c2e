"""What is known about a row, for filters: each fact a name, a meaning, and the way to it, worked out only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from backprop_tui.data.formats.conversation import Normalised, PlainText
from backprop_tui.data.tools.texts import content_of, messages_of, texts_of

#: Every fact with its meaning. Of a pair the turns are those of the prompt and the better side; the worse side counts in
#: `chars`, `words` and `text` only. Plain text has no turns.
FACTS: dict[str, str] = {
    "chars": "characters of all text in the row",
    "words": "words of all text in the row, as white space parts them",
    "turns": "turns of users, the assistant and tools; system texts don't count",
    "answers": "turns of the assistant that say or call something",
    "user_chars": "characters of all user turns",
    "answer_chars": "characters of all assistant turns",
    "shortest_answer": "characters of the shortest answer; missing when there is none",
    "has_system": "whether there is a system text",
    "has_answer": "whether there is an answer",
    "has_tools": "whether tools are on offer or called",
    "has_reasoning": "whether there is reasoning, apart from the answer or as <think> in it",
    "format": "the format's name, such as messages or alpaca",
    "text": "all text of the row, joined by line breaks",
    "system": "the system text; empty when there is none",
    "user": "the last user turn; empty when there is none",
    "answer": "the last answer; empty when there is none",
    "index": "the row's place in its file, from 0",
    "line": "the row's line in its file, from 1; missing in formats without lines",
    "file": "the name of the row's file",
}
#: How a column of the row is asked for: `column:` and its name, so that it never is mistaken for a fact.
COLUMN = "column:"


class Facts(Mapping[str, Any]):
    """The facts of one row and its own columns (as `column:name`). Every value is worked out once, when it is asked for.

    A column that the row lacks, and a fact that does not apply, is None.
    """

    __slots__ = ("_known", "_row", "_value")

    def __init__(self, row: Normalised, value: Any, known: dict[str, Any]) -> None:
        self._row = row
        self._value = value
        self._known = known

    def __getitem__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name.startswith(COLUMN):
            value = self._value
            found = value.get(name[len(COLUMN) :]) if isinstance(value, Mapping) else None
            if isinstance(found, Decimal):
                found = float(found)
        else:
            found = _WAYS[name](self._row)
        self._known[name] = found
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default` for a name that is neither a fact nor a column."""
        return self[name] if name in FACTS or name.startswith(COLUMN) else default

    def __iter__(self) -> Iterator[str]:
        yield from FACTS
        if isinstance(self._value, Mapping):
            yield from (f"{COLUMN}{name}" for name in self._value)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def facts_of(
    row: Normalised, *, value: Any = None, format: str = "", index: int = 0, line: int | None = None, file: str = ""
) -> Facts:
    """The facts of a row.

    Args:
        row: the row in the internal form.
        value: the row as it stands in the file; an object's keys are its columns.
        format: name of the format it is in.
        index: its place in the file, from 0.
        line: its line in the file, from 1.
        file: the file's name.
    """
    return Facts(row, value, {"format": format, "index": index, "line": line, "file": file})


def _turns(row: Normalised) -> int:
    return sum(message.role != "system" for message in messages_of(row))


def _answers(row: Normalised) -> list[str]:
    return [
        message.content
        for message in messages_of(row)
        if message.role == "assistant" and (message.tool_calls or message.content.strip())
    ]


def _has_tools(row: Normalised) -> bool:
    if isinstance(row, PlainText):
        return False
    return bool(row.tools) or any(message.tool_calls or message.role == "tool" for message in messages_of(row))


def _has_reasoning(row: Normalised) -> bool:
    return any(
        message.role == "assistant" and (message.reasoning or "<think>" in message.content)
        for message in messages_of(row)
    )


def _last(texts: list[str]) -> str:
    return texts[-1] if texts else ""


_WAYS: dict[str, Callable[[Normalised], Any]] = {
    "chars": lambda row: sum(map(len, texts_of(row))),
    "words": lambda row: sum(len(text.split()) for text in texts_of(row)),
    "turns": _turns,
    "answers": lambda row: len(_answers(row)),
    "user_chars": lambda row: sum(map(len, content_of(row, "user"))),
    "answer_chars": lambda row: sum(map(len, content_of(row, "assistant"))),
    "shortest_answer": lambda row: min(map(len, _answers(row)), default=None),
    "has_system": lambda row: bool(content_of(row, "system")),
    "has_answer": lambda row: bool(_answers(row)),
    "has_tools": _has_tools,
    "has_reasoning": _has_reasoning,
    "text": lambda row: "\n".join(texts_of(row)),
    "system": lambda row: "\n".join(content_of(row, "system")),
    "user": lambda row: _last(content_of(row, "user")),
    "answer": lambda row: _last(_answers(row)),
}
