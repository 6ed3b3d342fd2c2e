"""Parquet files, a few rows at a time however large the groups of rows are."""

from __future__ import annotations

from collections.abc import Iterator
from operator import sub
from typing import TYPE_CHECKING, BinaryIO

from backprop_tui.data.readers.cells import check_schema
from backprop_tui.data.readers.columnar import PIECE, broken, rows_of, spooled
from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.rows import Row

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

EXTENSIONS = (".parquet",)
#: Bytes a batch may take in memory, as far as the file's own figures tell.
_ROOM = 32 << 20
#: Bytes that the repeated texts of a batch may take in memory before they are kept once.
_MOST = 256 << 20


def read(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    """Rows as objects by column name. Only the beginning can be entered.

    Raises:
        DataError: DATA_PARQUET_BROKEN, DATA_COLUMN_TWICE, DATA_COLUMN_TYPE or DATA_TOO_DEEP.
    """
    import pyarrow
    from pyarrow import parquet

    index = entry.index
    try:
        with spooled(file) as seekable:
            table = parquet.ParquetFile(seekable)
            check_schema(table.schema_arrow)
            size, total = seekable.seek(0, 2), max(1, table.metadata.num_rows)
            for group in range(table.metadata.num_row_groups):
                source = _sparing(seekable, table.metadata, group) or table
                rows = _batch(table.metadata.row_group(group))
                for batch in source.iter_batches(rows, row_groups=[group], use_threads=False):
                    done = index - entry.index
                    yield from rows_of(
                        batch, entry, index, size * done // total, size * (done + batch.num_rows) // total
                    )
                    index += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise broken("DATA_PARQUET_BROKEN", "parquet file", error) from None


def _batch(group: parquet.RowGroupMetaData) -> int:
    """Rows to take at a time from a group: fewer where they are large."""
    rows, size = int(group.num_rows), int(group.total_byte_size)
    return max(1, min(PIECE, _ROOM * max(1, rows) // max(1, size)))


def _sparing(file: BinaryIO, metadata: parquet.FileMetaData, group: int) -> parquet.ParquetFile | None:
    """Another way to read a group in which writing out each repeated text would take too much memory; mostly None.

    A text of some megabytes that stands once in the dictionary of a column can be repeated by every row for a few bytes
    each: such columns are read as dictionaries, in which a repeated text is one and the same object.
    """
    from pyarrow import parquet

    columns = [
        column for column in map(metadata.row_group(group).column, range(metadata.num_columns)) if _suspect(column)
    ]
    if not columns:
        return None
    names = [column.path_in_schema for column in columns]
    sparing = parquet.ParquetFile(file, metadata=metadata, read_dictionary=names)
    first = next(sparing.iter_batches(1, row_groups=[group], columns=names, use_threads=False), None)
    for array in first.columns if first is not None else ():
        for words in _dictionaries(array):
            if _longest(words) * PIECE > _MOST:
                return sparing
    return None


def _suspect(column: parquet.ColumnChunkMetaData) -> bool:
    """Whether a column has a dictionary that could be large, by the file's own figures."""
    repeats = any("DICTIONARY" in encoding for encoding in column.encodings)
    room = column.total_uncompressed_size * min(PIECE, max(1, column.num_values))
    return column.physical_type == "BYTE_ARRAY" and repeats and room > _MOST


def _dictionaries(array: pyarrow.Array) -> Iterator[pyarrow.Array]:
    """The dictionaries inside an array, however deep."""
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        yield array.dictionary
    elif types.is_struct(kind):
        for child in array.flatten():
            yield from _dictionaries(child)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        yield from _dictionaries(array.values)


def _longest(words: pyarrow.Array) -> int:
    """Bytes of the longest text, from the places where the texts begin: no text is looked at."""
    from pyarrow import types

    wide = types.is_large_string(words.type) or types.is_large_binary(words.type)
    places = memoryview(words.buffers()[1]).cast("B").cast("q" if wide else "i")
    places = places[words.offset : words.offset + len(words) + 1]
    return max(map(sub, places[1:], places), default=0)
