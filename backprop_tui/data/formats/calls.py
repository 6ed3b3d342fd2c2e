"""Tools a row may call and the calls it makes, in the ways files write them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from backprop_tui.data.formats.cells import is_missing, kind_of, optional_text, parsed_json, plain_json, shown
from backprop_tui.data.formats.conversation import ToolCall
from backprop_tui.data.rows import RowRejected

#: Columns that hold the tools of a row.
TOOL_COLUMNS = ("tools", "functions")
_NO_TOOLS: tuple[dict[str, Any], ...] = ()


def tools_of(value: Any) -> tuple[dict[str, Any], ...]:
    """The tools of a row: its `tools` (or `functions`) column, a list of objects or the JSON text of one.

    Rows that write the same text may share the objects: they are to be read only.

    Raises:
        RowRejected: the column holds something else.
    """
    if not isinstance(value, dict):
        return _NO_TOOLS
    for name in TOOL_COLUMNS:
        if name in value and not is_missing(value[name]):
            return tools_in(value[name])
    return _NO_TOOLS


def tools_in(cell: Any) -> tuple[dict[str, Any], ...]:
    """The tools in one cell, none when it is empty.

    Raises:
        RowRejected: DATA_TOOLS_INVALID.
    """
    if is_missing(cell) or cell == "" or cell == []:
        return _NO_TOOLS
    try:
        return _tools_in_text(cell) if isinstance(cell, str) else _tools(cell)
    except ValueError as error:
        raise RowRejected(
            "DATA_TOOLS_INVALID",
            "broken tools",
            f"The tools can't be used: {error}.",
            "Write a list of objects, each with the JSON schema of one tool.",
            value=shown(cell),
        ) from None


def calls_of(turn: dict[str, Any]) -> tuple[ToolCall, ...]:
    """The calls of one turn: `tool_calls`, or the older `function_call`; arguments as an object or as JSON text.

    Raises:
        RowRejected: DATA_TOOL_CALL, a call has no name or its arguments are neither an object nor text.
    """
    calls = turn.get("tool_calls")
    if is_missing(calls) or calls == "" or calls == []:
        single = turn.get("function_call")
        return () if is_missing(single) or single == "" else (_call(single),)
    if isinstance(calls, str):
        try:
            calls = parsed_json(calls)
        except ValueError:
            raise _broken("The tool calls are text that is not JSON.", calls) from None
    if not isinstance(calls, list):
        raise _broken(f"The tool calls are {kind_of(calls)}, not a list.", calls)
    return tuple(map(_call, calls))


def calls_in_content(content: object) -> tuple[ToolCall, ...] | None:
    """The calls a `function_call` turn writes as its content: an object with name and arguments, or a list of them.

    Returns:
        None when the content is anything else, which is then an answer in words.
    """
    found = content
    if isinstance(content, str):
        if content.lstrip()[:1] not in ("{", "["):
            return None
        try:
            found = parsed_json(content)
        except ValueError:
            return None
    entries = found if isinstance(found, list) else [found]
    if not entries or not all(_looks_like_call(entry) for entry in entries):
        return None
    return tuple(map(_call, entries))


def _looks_like_call(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and ("arguments" in entry or "parameters" in entry)
    )


def _call(entry: object) -> ToolCall:
    if not isinstance(entry, dict):
        raise _broken(f"A tool call is {kind_of(entry)}, not an object.", entry)
    function = entry["function"] if isinstance(entry.get("function"), dict) else entry
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise _broken("A tool call has no name.", name)
    arguments = function.get("arguments")
    if is_missing(arguments):
        arguments = function.get("parameters")
    return ToolCall(
        optional_text(name, "name of a called tool"),
        _arguments(arguments),
        optional_text(entry.get("id"), "id of a tool call"),
    )


def _arguments(value: object) -> dict[str, Any] | str:
    if is_missing(value):
        return {}
    if isinstance(value, str):
        text = optional_text(value, "arguments of a tool call")
        try:
            parsed = parsed_json(text)
        except ValueError:
            return text
        return parsed if isinstance(parsed, dict) else text
    if not isinstance(value, dict):
        raise _broken(f"The arguments of a tool call are {kind_of(value)}, not an object.", value)
    try:
        plain: dict[str, Any] = plain_json(value)
    except ValueError as error:
        raise _broken(f"An argument of a tool call {error}.", value) from None
    return plain


@lru_cache(maxsize=16)
def _tools_in_text(text: str) -> tuple[dict[str, Any], ...]:
    try:
        found = parsed_json(text)
    except ValueError:
        raise ValueError("the text is not JSON") from None
    return _tools(found)


def _tools(found: Any) -> tuple[dict[str, Any], ...]:
    entries = [found] if isinstance(found, dict) else found
    if not isinstance(entries, list):
        raise ValueError(f"they are {kind_of(found)}")
    return tuple(map(_tool, entries))


def _tool(entry: object) -> dict[str, Any]:
    found = entry
    if isinstance(entry, str):
        try:
            found = parsed_json(entry)
        except ValueError:
            raise ValueError("one of them is text that is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"one of them is {kind_of(found)}")
    try:
        tool: dict[str, Any] = plain_json(found)
    except ValueError as error:
        raise ValueError(f"one of them {error}") from None
    return tool


def _broken(cause: str, value: object) -> RowRejected:
    return RowRejected(
        "DATA_TOOL_CALL",
        "broken tool call",
        cause,
        "Write tool_calls as a list of objects with function.name and function.arguments.",
        value=shown(value),
    )
