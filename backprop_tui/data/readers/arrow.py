"""Arrow IPC: files (also Feather version 2) and streams, as `datasets` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from backprop_tui.data.readers.cells import check_schema
from backprop_tui.data.readers.columnar import broken, rows_of, spooled
from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.rows import Row

if TYPE_CHECKING:
    import pyarrow

EXTENSIONS = (".arrow", ".feather", ".ipc")
_MAGIC = b"ARROW1"


def read(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    """Rows as objects by column name. Only the beginning can be entered.

    Raises:
        DataError: DATA_ARROW_BROKEN, DATA_COLUMN_TWICE, DATA_COLUMN_TYPE or DATA_TOO_DEEP.
    """
    import pyarrow

    index = entry.index
    try:
        # Mapped into memory, so that a batch as large as the file costs only the pages just looked at.
        with spooled(file) as seekable, pyarrow.memory_map(f"/dev/fd/{seekable.fileno()}") as mapped:
            begin = 0
            for batch, end in _batches(mapped, seekable.read(len(_MAGIC)) == _MAGIC):
                # Offsets come from the file; nothing may follow them before they are known to lie inside.
                batch.validate(full=True)
                yield from rows_of(batch, entry, index, begin, end)
                index, begin = index + batch.num_rows, end
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise broken("DATA_ARROW_BROKEN", "Arrow file", error) from None


def _batches(mapped: Any, is_file: bool) -> Iterator[tuple[pyarrow.RecordBatch, int]]:
    """Each batch, and the bytes of the file used with it."""
    from pyarrow import ipc

    if not is_file:
        stream = ipc.open_stream(mapped)
        check_schema(stream.schema)
        for batch in stream:
            yield batch, mapped.tell()
        return
    whole = ipc.open_file(mapped)
    check_schema(whole.schema)
    size, total = mapped.size(), whole.num_record_batches
    for place in range(total):
        yield whole.get_batch(place), size * (place + 1) // total
