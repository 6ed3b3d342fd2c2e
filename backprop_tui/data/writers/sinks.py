"""Kinds of files rows are written to: JSON Lines, tables of text, Parquet; the first two gzipped if the name says so."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from backprop_tui.data.writers.targets import FLAT_COLUMNS, CannotHold, Holds, Shape, Target, json_text
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

#: Rows and bytes of JSON gathered before they go to a Parquet file.
_BATCH_ROWS = 1024
_BATCH_BYTES = 16 << 20
_KNOWN = ".jsonl, .csv, .parquet, .jsonl.gz or .csv.gz"


class Sink(Protocol):
    """Takes rows one after the other."""

    def add(self, shape: Shape, written: bytes) -> None:
        """One row, and the same as JSON.

        Raises:
            CannotHold: this kind of file has no place for it.
        """

    def close(self) -> None:
        """Hand everything on to the file, which stays open."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file's name says about it: how it is written, what its columns hold, and whether it is compressed."""

    open: Callable[[BinaryIO, Target], Sink]
    holds: Holds = "anything"
    gzipped: bool = False


def kind_of_file(out: Path, target: Target) -> FileKind:
    """How `out` is to be written, by its name.

    Raises:
        UsageError: DATA_OUT_KIND for an unknown ending; DATA_OUT_NOT_FLAT, the target's rows are not a table of text.
    """
    name = out.name.lower()
    gzipped = name.endswith(".gz")
    ending = Path(name.removesuffix(".gz")).suffix
    if ending in (".jsonl", ".ndjson"):
        return FileKind(_Lines, gzipped=gzipped)
    if ending == ".parquet" and not gzipped:
        return FileKind(_Parquet, "types")
    if ending != ".csv":
        raise UsageError(
            "DATA_OUT_KIND", f"{safe_text(out.name, limit=200)} names no kind of file.", f"End it in {_KNOWN}."
        )
    if target not in FLAT_COLUMNS:
        raise UsageError(
            "DATA_OUT_NOT_FLAT",
            f"Rows of the kind {target} hold lists, which a CSV file can't.",
            f"Write .jsonl or .parquet, or choose {', '.join(FLAT_COLUMNS)}.",
        )
    return FileKind(_Table, "text", gzipped)


@contextmanager
def opened_sink(file: BinaryIO, kind: FileKind, target: Target) -> Iterator[Sink]:
    """A sink that hands everything to `file` when the block ends well."""
    # Neither name nor time in the header: the same rows give the same bytes.
    outer = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) if kind.gzipped else None
    sink = kind.open(file if outer is None else outer, target)  # type: ignore[arg-type]
    try:
        yield sink
    except BaseException:
        # Nobody will read the file, but its wrappers must let go of it before it is closed.
        for part in (sink, outer):
            with suppress(Exception):
                if part is not None:
                    part.close()
        raise
    sink.close()
    if outer is not None:
        outer.close()


class _Lines:
    def __init__(self, file: BinaryIO, target: Target) -> None:
        self._file = file

    def add(self, shape: Shape, written: bytes) -> None:
        self._file.write(written + b"\n")

    def close(self) -> None:
        pass


class _Table:
    def __init__(self, file: BinaryIO, target: Target) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._columns = FLAT_COLUMNS[target]
        # Quoted throughout, so that no cell's blanks, and no row of one empty cell, are taken for something else.
        self._writer = csv.writer(self._text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._writer.writerow(self._columns)

    def add(self, shape: Shape, written: bytes) -> None:
        cells = [shape[column] for column in self._columns]
        if any("\r" in cell for cell in cells):
            # Readers of CSV, ours among them, take it for a line's end.
            raise CannotHold("carriage return in a table")
        if any("\x00" in cell for cell in cells):
            raise CannotHold("NUL in a table")
        self._writer.writerow(cells)

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _Parquet:
    def __init__(self, file: BinaryIO, target: Target) -> None:
        self._file = file
        self._optional = {"text": frozenset[str](), "chatml": frozenset[str](), "alpaca": _OPTIONAL}.get(target, _TOOLS)
        self._types: dict[str, type] = {}
        self._writer: Any = None
        self._rows: list[Shape] = []
        self._bytes = 0

    def add(self, shape: Shape, written: bytes) -> None:
        if isinstance(shape.get("tools"), list):
            shape = shape | {"tools": json_text(shape["tools"])}
        if self._writer is None:
            self._begin(shape)
        if not self._fits(shape):
            raise CannotHold("other kind of row in one table")
        self._rows.append(shape)
        self._bytes += len(written)
        if len(self._rows) >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        if self._writer is not None:
            self._flush()
            self._writer.close()

    def _begin(self, shape: Shape) -> None:
        import pyarrow
        from pyarrow import parquet

        optional = self._optional if shape.keys() != {"text"} else frozenset[str]()
        kinds = dict.fromkeys(sorted(optional), str) | ({"history": list} if "history" in optional else {})
        self._optional = optional
        self._types = {
            name: type(cell) if isinstance(cell, (list, bool)) else str for name, cell in shape.items()
        } | kinds
        known = _arrow_types()
        schema = pyarrow.schema(
            [(name, known[name] if kind is not str else pyarrow.string()) for name, kind in self._types.items()]
        )
        self._writer = parquet.ParquetWriter(self._file, schema, compression="zstd")

    def _fits(self, shape: Shape) -> bool:
        return (
            shape.keys() <= self._types.keys()
            and self._types.keys() - shape.keys() <= self._optional
            and all(
                type(cell) is self._types[name] or (cell is None and self._types[name] is str)
                for name, cell in shape.items()
            )
        )

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._writer.schema))
        self._rows, self._bytes = [], 0


#: Columns that rows of one table may leave empty.
_TOOLS = frozenset({"tools"})
_OPTIONAL = frozenset({"tools", "system", "history"})


def _arrow_types() -> dict[str, Any]:
    import pyarrow as pa

    function = pa.struct({"name": pa.string(), "arguments": pa.string()})
    call = pa.struct({"id": pa.string(), "type": pa.string(), "function": function})
    extras = {
        "reasoning_content": pa.string(),
        "tool_calls": pa.list_(call),
        "name": pa.string(),
        "tool_call_id": pa.string(),
    }
    turns = pa.list_(pa.struct({"role": pa.string(), "content": pa.string(), **extras}))
    said = pa.list_(pa.struct({"from": pa.string(), "value": pa.string(), **extras}))
    return {
        "conversations": said,
        **dict.fromkeys(("messages", "prompt", "completion", "chosen", "rejected"), turns),
        "label": pa.bool_(),
        "history": pa.list_(pa.list_(pa.string())),
    }
