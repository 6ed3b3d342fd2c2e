"""Parquet and Arrow: odd types, torn files, columns named twice, and small files that would fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.data.hostile.case import Case


def _parquet(make: Callable[[Any], Any], **how: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(make(pyarrow), folder / "x.parquet", **how)

    return write


def _arrow(make: Callable[[Any], Any], name: str = "x.arrow", *, stream: bool = False) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import pyarrow
        from pyarrow import ipc

        table = make(pyarrow)
        with (ipc.new_stream if stream else ipc.new_file)(str(folder / name), table.schema) as out:
            out.write_table(table)

    return write


def _cut(write: Callable[[Path], None], name: str, keep: float) -> Callable[[Path], None]:
    def torn(folder: Path) -> None:
        write(folder)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return torn


def _bent(write: Callable[[Path], None], name: str) -> Callable[[Path], None]:
    def bent(folder: Path) -> None:
        write(folder)
        data = bytearray((folder / name).read_bytes())
        data[8 : len(data) // 2] = bytes(byte ^ 0xFF for byte in data[8 : len(data) // 2])
        (folder / name).write_bytes(data)

    return bent


def _chat(pa: Any) -> Any:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    return pa.table({"messages": [turns] * 3, "n": [1, 2, 3]})


def _odd(pa: Any) -> Any:
    from datetime import UTC, date, datetime
    from decimal import Decimal

    return pa.table(
        {
            "text": ["x", "y"],
            "when": [datetime(2026, 1, 2, tzinfo=UTC), None],
            "day": [date(2026, 1, 2), None],
            "price": [Decimal("1.50"), None],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "more": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
            "bytes": [b"\xff", None],
        }
    )


def _bad_utf8(pa: Any) -> Any:
    data = pa.array([b"fine", b"b\xffd", b"fine"], pa.binary())
    return pa.table({"text": pa.Array.from_buffers(pa.string(), 3, data.buffers())})


def _wild_offsets(pa: Any) -> Any:
    buffers = pa.array(["aaaa", "bbbb"]).buffers()
    offsets = pa.py_buffer((0).to_bytes(4, "little") + (1 << 30).to_bytes(4, "little") + (8).to_bytes(4, "little"))
    return pa.table({"text": pa.Array.from_buffers(pa.string(), 2, [None, offsets, buffers[2]])})


def _repeated(pa: Any) -> Any:
    return pa.table(
        {"text": pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * (8 << 20)]))}
    )


COLUMNAR = [
    Case("parquet", "x.parquet", _parquet(_chat), kept=3),
    Case("arrow file", "x.arrow", _arrow(_chat), kept=3),
    Case("arrow stream", "x.arrow", _arrow(_chat, stream=True), kept=3),
    Case("feather", "x.feather", _arrow(_chat, "x.feather"), kept=3),
    Case("odd types in parquet", "x.parquet", _parquet(_odd), kept=2),
    Case("odd types in arrow", "x.ipc", _arrow(_odd, "x.ipc"), kept=2),
    Case(
        "null and NaN cells",
        "x.parquet",
        _parquet(lambda pa: pa.table({"text": [None, float("nan"), 1.0]})),
        dropped={"DATA_CELL_NULL": 2, "DATA_NOT_TEXT": 1},
    ),
    Case("binary text", "x.parquet", _parquet(lambda pa: pa.table({"text": [b"abc"]})), dropped={"DATA_NOT_TEXT": 1}),
    Case(
        "no rows in parquet",
        "x.parquet",
        _parquet(lambda pa: pa.table({"text": pa.array([], pa.string())})),
        error="DATA_FILE_EMPTY",
    ),
    Case(
        "column twice in parquet",
        "x.parquet",
        _parquet(lambda pa: pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])),
        error="DATA_COLUMN_TWICE",
    ),
    Case(
        "column twice in arrow",
        "x.arrow",
        _arrow(lambda pa: pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])),
        error="DATA_COLUMN_TWICE",
    ),
    Case(
        "union in arrow",
        "x.arrow",
        _arrow(
            lambda pa: pa.table(
                {
                    "text": pa.UnionArray.from_dense(
                        pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array(["x"])]
                    )
                }
            )
        ),
        error="DATA_COLUMN_TYPE",
    ),
    Case("text that is not UTF-8 in parquet", "x.parquet", _parquet(_bad_utf8), kept=2, dropped={"DATA_NOT_UTF8": 1}),
    Case("text that is not UTF-8 in arrow", "x.arrow", _arrow(_bad_utf8), error="DATA_ARROW_BROKEN"),
    Case("wild offsets in arrow", "x.arrow", _arrow(_wild_offsets), error="DATA_ARROW_BROKEN"),
    Case(
        "8 MB repeated 300 times",
        "x.parquet",
        _parquet(_repeated, store_schema=False, dictionary_pagesize_limit=1 << 30),
        kept=300,
    ),
    Case(
        "date out of range",
        "x.parquet",
        _parquet(
            lambda pa: pa.table({"text": ["x", "y"], "t": pa.array([10**15, 0], pa.timestamp("s"))}), version="2.6"
        ),
        kept=1,
        dropped={"DATA_CELL_BROKEN": 1},
    ),
    Case("torn parquet", "x.parquet", _cut(_parquet(_chat), "x.parquet", 0.7), error="DATA_PARQUET_BROKEN"),
    Case("bent parquet", "x.parquet", _bent(_parquet(_chat), "x.parquet"), error="DATA_PARQUET_BROKEN"),
    Case("torn arrow file", "x.arrow", _cut(_arrow(_chat), "x.arrow", 0.7), error="DATA_ARROW_BROKEN"),
    Case("torn arrow stream", "x.arrow", _cut(_arrow(_chat, stream=True), "x.arrow", 0.7), error="DATA_ARROW_BROKEN"),
    Case("bent arrow stream", "x.arrow", _bent(_arrow(_chat, stream=True), "x.arrow"), error="DATA_ARROW_BROKEN"),
    Case("text called parquet", "x.parquet", b"not parquet at all", error="DATA_PARQUET_BROKEN"),
    Case(
        "text called arrow", "x.arrow", b"not arrow at all, and long enough to hold a length", error="DATA_ARROW_BROKEN"
    ),
]
