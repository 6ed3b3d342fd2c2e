"""Parquet files, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from backprop_tui.data.rows import Row
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

EXTENSIONS = (".parquet",)
_BATCH = 1024


def read(file: BinaryIO, *, start: int = 0, line: int = 1, index: int = 0) -> Iterator[Row]:
    """Rows as objects by column name. Only the beginning can be entered.

    Raises:
        DataError: DATA_PARQUET_BROKEN.
    """
    import pyarrow
    from pyarrow import parquet

    size = file.seek(0, 2)
    file.seek(0)
    try:
        table = parquet.ParquetFile(file)
        total = max(1, table.metadata.num_rows)
        for batch in table.iter_batches(batch_size=_BATCH):
            for value in batch.to_pylist():
                yield Row(index, None, value, end=size * (index + 1) // total)
                index += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            "DATA_PARQUET_BROKEN",
            f"The parquet file can't be read: {safe_text(str(error).splitlines()[0] if str(error) else error, limit=160)}.",
            "Write or download it again.",
        ) from None
