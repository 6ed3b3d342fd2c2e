"""Arrow columns as plain Python values, without copying a repeated value and without guessing at types.

Text, numbers, true and false, binary data, nulls and NaN stay what they are. Lists, structs and maps become lists and
objects. Dates, times, decimals and the like become text, so that every row can be written as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backprop_tui.data.readers.json_words import MAX_DEPTH
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    import pyarrow


def check_schema(schema: pyarrow.Schema) -> None:
    """Make sure that rows of a schema can be told as objects.

    Raises:
        DataError: DATA_COLUMN_TWICE, DATA_COLUMN_TYPE or DATA_TOO_DEEP.
    """
    _check_names(schema.names)
    for field in schema:
        _check_type(field.type, field.name, 1)


def python_values(array: pyarrow.Array) -> list[Any]:
    """The values of an array, in order; None for nulls.

    Raises:
        pyarrow.ArrowException, ValueError: a value can't be told, such as text that is not UTF-8.
    """
    from pyarrow import types

    kind = array.type
    if _is_plain(kind):
        values: list[Any] = array.to_pylist()
        return values
    if types.is_dictionary(kind):
        # A value that occurs a million times is one Python object: a small file can't fill the memory this way.
        known = python_values(array.dictionary)
        return [None if place is None else known[place] for place in array.indices.to_pylist()]
    if types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        columns = [python_values(child) for child in array.flatten()]
        rows = zip(*columns, strict=True) if columns else iter([()] * len(array))
        pairs = zip(array.is_valid().to_pylist(), rows, strict=True)
        return [dict(zip(names, cells, strict=True)) if valid else None for valid, cells in pairs]
    if types.is_map(kind):
        first, last, offsets = _span(array)
        keys = python_values(array.keys.slice(first, last - first))
        items = python_values(array.items.slice(first, last - first))
        return _cut(array, [list(pair) for pair in zip(keys, items, strict=True)], offsets, _object)
    if types.is_list(kind) or types.is_large_list(kind):
        first, last, offsets = _span(array)
        return _cut(array, python_values(array.values.slice(first, last - first)), offsets, list)
    if types.is_fixed_size_list(kind):
        size = kind.list_size
        parts = python_values(array.values.slice(array.offset * size, len(array) * size))
        return _cut(array, parts, [size * place for place in range(len(array) + 1)], list)
    if types.is_run_end_encoded(kind):
        from pyarrow import compute

        return python_values(compute.run_end_decode(array))
    if hasattr(array, "storage"):
        return python_values(array.storage)
    return _texts(array)


def _span(array: pyarrow.Array) -> tuple[int, int, list[int]]:
    """First and last place of a list array's values, and where each list begins among them."""
    offsets: list[int] = array.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    return first, last, [place - first for place in offsets]


def _cut(array: pyarrow.Array, parts: list[Any], offsets: list[int], make: Callable[[list[Any]], Any]) -> list[Any]:
    spans = zip(array.is_valid().to_pylist(), offsets, offsets[1:], strict=False)
    return [make(parts[begin:end]) if valid else None for valid, begin, end in spans]


def _object(pairs: list[Any]) -> Any:
    """A map as an object where that loses nothing, else as its pairs."""
    names = [pair[0] for pair in pairs]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return dict(pairs)
    return pairs


def _texts(array: pyarrow.Array) -> list[str | None]:
    """Dates, times and decimals as ISO-like text; instants in UTC, so that no time zone database is needed."""
    import pyarrow
    from pyarrow import types

    kind = array.type
    if types.is_timestamp(kind) and kind.tz is not None:
        array = array.cast(pyarrow.timestamp(kind.unit, "UTC"))
    if types.is_interval(kind):
        return [None if value is None else str(tuple(value)) for value in array.to_pylist()]
    words: list[str | None] = array.cast(pyarrow.string()).to_pylist()
    if any(word is not None and word.startswith("<value out of range") for word in words):
        raise ValueError("a date or time is out of range")
    if types.is_duration(kind):
        return [None if word is None else f"{word} {kind.unit}" for word in words]
    return words


def _is_plain(kind: pyarrow.DataType) -> bool:
    """Whether the library's own conversion says just what is there."""
    from pyarrow import types

    if types.is_struct(kind):
        return all(_is_plain(kind.field(place).type) for place in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    return any(
        test(kind)
        for test in (
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_integer,
            types.is_floating,
            types.is_boolean,
            types.is_null,
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
            types.is_fixed_size_binary,
        )
    )


def _check_names(names: list[str], inside: str = "") -> None:
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        place = f" inside {safe_text(inside, limit=60)!r}" if inside else ""
        raise DataError(
            "DATA_COLUMN_TWICE",
            f"The column {safe_text(twice, limit=60)!r} is there twice{place}.",
            "Rename one of them and write the file again.",
        )


def _check_type(kind: pyarrow.DataType, column: str, depth: int) -> None:
    from pyarrow import types

    if depth > MAX_DEPTH:
        raise DataError(
            "DATA_TOO_DEEP",
            f"The column {safe_text(column, limit=60)!r} is nested more than {MAX_DEPTH} levels deep.",
            "Flatten it and write the file again.",
        )
    if types.is_struct(kind):
        _check_names([kind.field(place).name for place in range(kind.num_fields)], column)
    if types.is_union(kind) or type(kind).__name__ in ("ListViewType", "LargeListViewType", "OpaqueType"):
        raise DataError(
            "DATA_COLUMN_TYPE",
            f"The column {safe_text(column, limit=60)!r} has the type {safe_text(kind, limit=60)}, which JSON can't tell.",
            "Drop it or write it as text.",
        )
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        _check_type(kind.value_type, column, depth)
    elif hasattr(kind, "storage_type"):
        _check_type(kind.storage_type, column, depth)
    else:
        for place in range(kind.num_fields):
            _check_type(kind.field(place).type, column, depth + 1)
