"""From easy to difficult: what a row's difficulty is, and the order a curriculum takes the rows in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backprop_tui.data.formats.conversation import Normalised
from backprop_tui.data.tools.ranks import numbered, ranks
from backprop_tui.data.tools.texts import row_text
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

#: Difficulties that are read off the text; every other name is a column of numbers.
BY_TEXT = ("length", "words")
_NAMED = 5


def difficulty_of(row: Normalised, kind: str) -> float:
    """The difficulty of a row by its text; larger is more difficult.

    `length` is the number of characters. `words` is 0.5 for 5,000 characters or more (less in proportion), plus a quarter
    of the share of different words, plus 0.025 per character of the mean word up to 0.25: 0 to 1.

    Args:
        row: the row.
        kind: one of `BY_TEXT`.

    Raises:
        ValueError: `kind` is a column's name; use `column_difficulties`.
    """
    text = row_text(row)
    if kind == "length":
        return float(len(text))
    if kind != "words":
        raise ValueError(f"{kind!r} is not read off the text")
    words = text.lower().split()
    if not words:
        return 0.0
    different = len(set(words)) / len(words)
    mean = sum(map(len, words)) / len(words)
    return 0.5 * min(len(text) / 5000, 1.0) + 0.25 * different + 0.25 * min(mean / 10, 1.0)


def column_difficulties(values: Sequence[Any], column: str) -> list[float]:
    """The difficulties of all rows from a column of numbers; text that is a number counts as one.

    Args:
        values: the column's cells, one per row.
        column: its name, for the words of the error.

    Raises:
        DataError: DATA_DIFFICULTY_MISSING, naming the first rows (from 1) whose cell is missing, NaN or no number.
    """
    numbers = [_number(value) for value in values]
    missing = [place + 1 for place, number in enumerate(numbers) if number is None]
    if missing:
        named = ", ".join(f"{row:,}" for row in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        which = f"row {named}" if len(missing) == 1 else f"rows {named}{more}"
        raise DataError(
            "DATA_DIFFICULTY_MISSING",
            f"The column {safe_text(column, limit=60)!r} has no number in {which}.",
            "Fill in the numbers, filter these rows out, or order by length or words.",
            {"column": safe_text(column, limit=60), "rows": missing[:_NAMED], "count": len(missing)},
        )
    return [number for number in numbers if number is not None]


def curriculum_order(difficulties: Sequence[float], seed: int, keys: Sequence[bytes] | None = None) -> list[int]:
    """Places from the easiest row to the most difficult one.

    Rows of equal difficulty come in an order drawn from the seed: with `keys` by content, so that it does not depend on
    the order of the rows, else by place.

    Args:
        difficulties: one per row, none of them NaN.
        seed: the run's seed.
        keys: content keys of the rows.
    """
    drawn = ranks("curriculum", seed, numbered(len(difficulties)) if keys is None else keys)
    return sorted(range(len(difficulties)), key=lambda place: (difficulties[place], drawn[place], place))


def curriculum_parts(rows: int, parts: int) -> list[range]:
    """Cut an order into parts of equal size: `parts` ranges, in order, the first ones longer by one where it doesn't go up.

    With more parts than rows the last ones are empty.

    Args:
        rows: rows in the order.
        parts: parts wanted; less than one counts as one.
    """
    parts = max(1, parts)
    each, over = divmod(rows, parts)
    ends = [each * (part + 1) + min(part + 1, over) for part in range(parts)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number
