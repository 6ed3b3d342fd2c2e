"""Changing one top-level key of a TOML file that a person also writes: everything else stays as it is, comments too.

The text is edited, then read again; when anything but the key came out different the edit is refused.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any


class NotEditable(ValueError):
    """The file is written in a way that can't be changed safely from here."""


def set_key(text: str, key: str, value: str | bool | int | float) -> str:
    """The text with `key = value` at its top level.

    Raises:
        NotEditable: the file is no TOML, or the key's present value spans several lines.
    """
    return _edited(text, key, f"{key} = {literal(value)}", value)


def drop_key(text: str, key: str) -> str:
    """The text without a top-level key; a comment behind the value goes with it.

    Raises:
        NotEditable: the file is no TOML, or the key's present value spans several lines.
    """
    return _edited(text, key, None, None)


def literal(value: str | bool | int | float) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    escaped = "".join(f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else f"\\{c}" if c in '"\\' else c for c in value)
    return f'"{escaped}"'


def _edited(text: str, key: str, line: str | None, value: Any) -> str:
    before = _parsed(text)
    wanted = {name: other for name, other in before.items() if name != key}
    if line is not None:
        wanted[key] = value
    lines = text.splitlines(keepends=True)
    written = re.compile(rf"[ \t]*(?:{re.escape(key)}|\"{re.escape(key)}\"|'{re.escape(key)}')[ \t]*=")
    places = [number for number, old in enumerate(lines) if written.match(old)] if key in before else []
    if key not in before and line is None:
        return text
    for number in places:
        # The same words may stand inside a longer text: only the place that changes this key alone is the right one.
        new = [] if line is None else [f"{line}{_comment(lines[number])}\n"]
        changed = "".join([*lines[:number], *new, *lines[number + 1 :]])
        if _parsed(changed, quiet=True) == wanted:
            return changed
    if key not in before and line is not None:
        for number in _ends_of_head(lines):
            head = "".join(lines[:number]).rstrip()
            rest = "".join(lines[number:])
            changed = f"{head}\n{line}\n".lstrip("\n") + (f"\n{rest}" if rest else "")
            if _parsed(changed, quiet=True) == wanted:
                return changed
    raise NotEditable(f"`{key}` is written there in a way that can't be changed from here")


def _parsed(text: str, *, quiet: bool = False) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        if quiet:
            return {"": None}
        raise NotEditable(str(error)) from None


def _comment(line: str) -> str:
    """The comment behind a value, with the blanks before it."""
    line = line.rstrip("\r\n")
    for at, sign in enumerate(line):
        if sign == "#" and _parsed(line[:at], quiet=True) != {"": None}:
            kept = line[:at].rstrip()
            return line[len(kept) :]
    return ""


def _ends_of_head(lines: list[str]) -> list[int]:
    """Where a top-level key may be added: before each line that looks like the first table, or at the end."""
    tables = [number for number, line in enumerate(lines) if re.match(r"[ \t]*\[", line)]
    return [*(_above_comments(lines, number) for number in tables), len(lines)]


def _above_comments(lines: list[str], number: int) -> int:
    """The comment right above a table belongs to the table."""
    while number and lines[number - 1].lstrip().startswith("#"):
        number -= 1
    return number
