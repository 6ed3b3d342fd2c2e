"""Files that are something else than their name says, recognised by their first bytes."""

from __future__ import annotations

import re

from backprop_tui.data.readers.files import BOM
from backprop_tui.protocol.errors import DataError

#: How many bytes of a file are looked at.
HEAD = 4096

_UNPACK = "Unpack it, and choose the file inside."
_EXPORT = "Export the rows as JSON Lines, CSV or parquet."
_ANOTHER = "Choose a file of rows."
#: First bytes, what they belong to, and what to do. `{}` stands for the name without its ending.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "Rename it so that it ends in .gz, such as {}.jsonl.gz."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "Rename it so that it ends in .zst, such as {}.jsonl.zst."),
    (b"PAR1", "a parquet file", "Rename it to {}.parquet."),
    (b"PARE", "an encrypted parquet file", "Decrypt it first."),
    (b"ARROW1", "an Arrow file", "Rename it to {}.arrow."),
    (b"FEA1", "a Feather file of version 1", "Write it again as parquet or as Feather of version 2."),
    (b"SQLite format 3\x00", "a SQLite database", _EXPORT),
    (b"%PDF-", "a PDF document", "Extract its text first."),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ORC", "an ORC file", _EXPORT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word document", "Save it as CSV (UTF-8)."),
    (b"\x7fELF", "a program", _ANOTHER),
    (b"\x89PNG", "a picture", _ANOTHER),
    (b"\xff\xd8\xff", "a picture", _ANOTHER),
    (b"GIF8", "a picture", _ANOTHER),
)
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.{0,400}?-->\s*)*<(!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:[\x95(\]}cKXU\x8c]|\x8a)", re.DOTALL)
_BZIP = re.compile(rb"BZh[1-9]1AY&SY")
_ORC = re.compile(rb"ORC[\x00-\x1f]")


def check_kind(head: bytes, name: str, extension: str) -> None:
    """Refuse a file that is of another kind than its ending says.

    Args:
        head: its first `HEAD` bytes, unpacked where the ending says that it is packed.
        name: its name without folder and ending, already harmless.
        extension: its ending, lower case with the dot, without `.gz` or `.zst`.

    Raises:
        DataError: DATA_WRONG_KIND.
    """
    for magic, what, next_step in _MAGIC:
        if head.startswith(magic) and not _chance(head, magic, extension):
            raise wrong_kind(what, next_step.format(name or "rows"))
    if head.startswith(b"PK\x03\x04"):
        office = b"[Content_Types].xml" in head or b"xl/" in head or b"word/" in head
        raise wrong_kind(
            *(("an Excel or Word document", "Save it as CSV (UTF-8).") if office else ("a zip archive", _UNPACK))
        )
    if head[257:262] == b"ustar":
        raise wrong_kind("a tar archive", _UNPACK)
    if head.startswith(_POINTER):
        raise wrong_kind("a git-lfs pointer, not the data", "Fetch the data with `git lfs pull`.")
    if _PICKLE.match(head):
        raise wrong_kind("a Python pickle, which could run programs", "Save the rows as JSON Lines where you trust it.")
    text = head.removeprefix(BOM)
    if extension != ".md" and _PAGE.match(text):
        raise wrong_kind("an HTML page, perhaps an error page of the site", "Download the data again.")
    if extension in (".jsonl", ".ndjson"):
        _check_lines(text)


def wrong_kind(what: str, next_step: str) -> DataError:
    """The error of a file that is `what`."""
    return DataError("DATA_WRONG_KIND", f"The file is really {what}.", next_step)


def _chance(head: bytes, magic: bytes, extension: str) -> bool:
    """Whether the magic bytes are what the ending promises, or could begin a text."""
    own = {b"PAR1": ".parquet", b"ARROW1": ".arrow"}.get(magic)
    if own is not None and extension in (own, ".feather", ".ipc"):
        return True
    if magic == b"BZh":
        return not _BZIP.match(head)
    if magic == b"ORC":
        return not _ORC.match(head)
    return magic in (b"PAR1", b"PARE", b"ARROW1", b"FEA1", b"Rar!", b"GIF8") and head.isascii() and b"\0" not in head


def _check_lines(text: bytes) -> None:
    """Refuse JSON Lines whose first line is only the beginning of a value."""
    first, found, _ = text.lstrip().partition(b"\n")
    first = first.rstrip()
    if not found or not first:
        return
    if first == b"[" or (first.startswith(b"[{") and first.endswith(b"},")):
        raise wrong_kind("a JSON array, not one row per line", "Rename it so that it ends in .json.")
    if first == b"{":
        raise wrong_kind(
            "JSON spread over several lines, not one row per line",
            "Write one row per line, for example with `jq -c .`, or rename it so that it ends in .json.",
        )
