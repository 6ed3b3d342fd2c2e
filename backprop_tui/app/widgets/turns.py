"""A row's meaning as painted lines: turns with their calls, both sides of a pair, what is on offer as tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from backprop_tui.app.widgets.lines import Line
from backprop_tui.protocol.text import safe_block, safe_text

if TYPE_CHECKING:
    from backprop_tui.data.formats import Message, Normalised

#: Names of tools listed, and characters of a call's arguments shown.
_MOST_TOOLS = 12
_ARGUMENTS = 2000


def fold(text: str, width: int) -> list[str]:
    """`text` cut into pieces of at most `width` cells, after a blank where one is near; nothing is lost."""
    text = safe_text(text)
    lines: list[str] = []
    while cell_len(text) > width > 0:
        head = set_cell_size(text, width)
        if cell_len(head) > cell_len(text) or not text.startswith(head):
            # A wide character does not fit into the last cell and was replaced by a blank.
            head = head[:-1]
        blank = head.rfind(" ")
        if blank > len(head) // 2:
            head = head[: blank + 1]
        if not head:
            break
        lines.append(head)
        text = text[len(head) :]
    return [*lines, text]


def meaning_lines(row: Normalised, width: int) -> list[Line]:
    """What a row says, turn by turn; sides of a pair are named, and so is what a label means.

    Args:
        row: the row in the internal form.
        width: cells of a line.
    """
    from backprop_tui.data.formats import Conversation, PlainText, Preference, Unpaired

    lines: list[Line] = []
    if isinstance(row, PlainText):
        return [*_said("text", row.text, width, "strong"), ()]
    if row.tools:
        names = ", ".join(_tool_name(tool) for tool in row.tools[:_MOST_TOOLS])
        more = f" and {len(row.tools) - _MOST_TOOLS:,} more" if len(row.tools) > _MOST_TOOLS else ""
        lines += [((f"tools ({len(row.tools):,})", "strong"),)]
        lines += [(("  ", "text"), (line, "text")) for line in fold(f"{names}{more}", width - 2)]
        lines.append(())
    if isinstance(row, Conversation):
        return lines + _turns(row.messages, width)
    lines += _turns(row.prompt, width)
    if isinstance(row, Preference):
        lines += _turns(row.chosen, width, "chosen", "good")
        lines += _turns(row.rejected, width, "rejected", "bad")
    elif isinstance(row, Unpaired):
        side, tone = ("wanted", "good") if row.label else ("not wanted", "bad")
        lines += _turns(row.completion, width, side, tone)
    else:
        for name, cell in row.columns.items():
            lines += _said(f"column {safe_text(name, limit=60)}", _written(cell), width, "muted")
    return lines


def _turns(messages: Sequence[Message], width: int, side: str = "", tone: str = "strong") -> list[Line]:
    lines: list[Line] = []
    for message in messages:
        title = safe_text(message.role, limit=40) + (f" {safe_text(message.name, limit=60)}" if message.name else "")
        title = f"{side}: {title}" if side else title
        if message.reasoning:
            lines += _said(f"{title} (reasoning)", message.reasoning, width, "muted")
        if message.content or not message.tool_calls:
            lines += _said(title, message.content, width, tone)
        else:
            lines.append(((title, tone),))
        for call in message.tool_calls:
            arguments = call.arguments if isinstance(call.arguments, str) else _written(call.arguments)
            words = f"calls {safe_text(call.name, limit=80)} {safe_text(arguments, limit=_ARGUMENTS)}"
            lines += [(("  ", "text"), (line, "accent")) for line in fold(words, width - 2)]
        lines.append(())
    return lines


def _said(title: str, text: str, width: int, tone: str) -> Iterator[Line]:
    yield ((title, tone),)
    for part in safe_block(text).split("\n"):
        for line in fold(part, width - 2):
            yield (("  ", "text"), (line, "text"))


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    name = (function if isinstance(function, dict) else tool).get("name")
    return safe_text(name, limit=60) if isinstance(name, str) else "(no name)"


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
