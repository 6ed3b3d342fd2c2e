"""One cell of a row: as text that can be encoded, as plain JSON, and as words to name it by when it can't be used."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.text import safe_text

#: Longest piece of an offending value that is shown, in characters.
_SHOWN = 60
#: Deepest nesting of arguments, schemas and extra columns; each level costs a stack frame when it is written again.
_DEEPEST = 100
_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "dict": "an object", "list": "a list"}
_TEXT_PARTS = (None, "text", "input_text", "output_text")


def text_of(value: object, what: str) -> str:
    """`value` as text that can be encoded. A list of text parts (`{"type": "text", "text": …}`) is joined.

    Args:
        value: the cell.
        what: the cell's name in messages, as in "The {what} is missing."

    Raises:
        RowRejected: missing, NaN, not text, or holding a lone surrogate.
    """
    if isinstance(value, list):
        value = _joined_parts(value, what)
    if not isinstance(value, str):
        raise missing(value, what) if is_missing(value) else _not_text(value, what)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RowRejected(
                "DATA_LONE_SURROGATE",
                "broken character",
                f"The {what} holds half of a character pair (\\u{ord(value[error.start]):04x}) "
                f"at character {error.start + 1:,}.",
                "Write the file again as valid Unicode.",
                value=shown(value[max(0, error.start - 20) :]),
            ) from None
    return value


def optional_text(value: object, what: str) -> str:
    """Like `text_of`, with nothing for null and NaN."""
    return "" if is_missing(value) else text_of(value, what)


def is_missing(value: object) -> bool:
    """Null, or the NaN that tables have in place of it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def missing(value: object, what: str) -> RowRejected:
    """The rejection of a null or NaN cell."""
    return RowRejected(
        "DATA_CELL_NULL",
        "missing value",
        f"The {what} is {'missing' if value is None else 'NaN, the mark of an empty cell'}.",
        "Fill it in or remove the row.",
        value=shown(value),
    )


def shown(value: object) -> str:
    """A value in at most 60 harmless characters; what is inside lists and objects is not looked at."""
    if isinstance(value, str):
        return safe_text(value, limit=_SHOWN)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        # Python refuses to write out integers of thousands of digits.
        return safe_text(value, limit=_SHOWN) if value.bit_length() < 1024 else "a very long number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (dict, list, tuple)):
        return ("{…}" if isinstance(value, dict) else "[…]") if value else ("{}" if isinstance(value, dict) else "[]")
    return safe_text(type(value).__name__, limit=_SHOWN)


def kind_of(value: object) -> str:
    """What a value is, in words: `a number`, `an object`."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    kind = type(value).__name__
    return _KINDS.get(kind, "binary data" if isinstance(value, bytes) else f"a {safe_text(kind, limit=40)}")


def plain_json(value: Any, depth: int = 0) -> Any:
    """`value` as JSON can hold it. NaN becomes null; dates, times and decimal numbers become their ISO or plain text.

    Raises:
        ValueError: binary data, an infinite number, a lone surrogate, or nesting beyond 100; the message says which.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("holds half of a character pair") from None
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("holds an infinite number")
        return None if math.isnan(value) else value
    if depth >= _DEEPEST:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        return {plain_json(str(key)): plain_json(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(entry, depth + 1) for entry in value]
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, (timedelta, Decimal)):
        return str(value)
    raise ValueError(f"holds {kind_of(value)}")


def parsed_json(text: str) -> Any:
    """The value of JSON text that can be written again unchanged.

    Raises:
        ValueError: not JSON, a key named twice, a number that is not finite, or nested too deeply.
    """
    try:
        return plain_json(json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_each_key_once))
    except RecursionError:
        raise ValueError("is nested too deeply") from None


@lru_cache(maxsize=64)
def _names(keys: tuple[object, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in keys:
        if isinstance(key, str):
            found.setdefault(key.strip().lower(), key)
    return found | {key: key for key in keys if isinstance(key, str) and key in found}


def names_of(value: dict[str, Any]) -> dict[str, str]:
    """Column names by their lower-case form without outer blanks, where a name written that way itself wins.

    Rows of one file nearly always have the same keys, so the answer for the last few sets of keys is kept.
    """
    return _names(tuple(value))


def _joined_parts(parts: list[Any], what: str) -> str:
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in _TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            kind = part.get("type") if isinstance(part, dict) else kind_of(part)
            raise RowRejected(
                "DATA_PART_UNSUPPORTED",
                "not text",
                f"The {what} holds a part of the kind {shown(kind)!r}.",
                "Only text can be trained on.",
                value=shown(kind),
            )
    return "".join(texts)


def _not_text(value: object, what: str) -> RowRejected:
    return RowRejected(
        "DATA_NOT_TEXT",
        "not text",
        f"The {what} is {kind_of(value)}, not text.",
        "Write it as text.",
        value=shown(value),
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("names a key twice")
    return found
