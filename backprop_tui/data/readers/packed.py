"""Packed files (gzip, Zstandard) as streams that end where damage begins, say so, and refuse to blow up."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, Protocol

from backprop_tui.data.rows import Problem
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: A file is a bomb when more than this many bytes come out of it …
MAX_OUTPUT = 64 << 20
#: … and they are more than this many times the bytes that went in. Text of any kind packs to a tenth, at best a fiftieth.
MAX_RATIO = 200
#: First bytes of each packing.
MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_CHUNK = 1 << 16


class Damaged(Exception):
    """Nothing more can be unpacked; the words say why."""


class _Source(Protocol):
    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end.

        Raises:
            Damaged: the packed bytes are not whole.
        """


class Unpacked(io.RawIOBase):
    """What a packed file holds. It can be read on from, or from its beginning again.

    Reads end early where the file is damaged or cut off; `damage` then says so, and every byte before it has been
    handed on.
    """

    def __init__(self, file: BinaryIO, packing: str) -> None:
        """Begin to unpack.

        Args:
            file: the packed file.
            packing: `.gz` or `.zst`.
        """
        self._file = file
        self._packing = packing
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._source: _Source = _Gzip(self._file) if self._packing == ".gz" else _Zstandard(self._file)
        self._out = 0
        self._careful = False
        self.damage: Problem | None = None

    @property
    def consumed(self) -> int:
        """Packed bytes used so far, to the next 64 KiB."""
        return self._file.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Back to the beginning, at the price of unpacking again."""
        return True

    def tell(self) -> int:
        """Bytes handed on so far."""
        return self._out

    def seek(self, offset: int, whence: int = 0) -> int:
        """Begin again; other places can't be reached.

        Raises:
            io.UnsupportedOperation: any other place.
        """
        if whence == 0 and offset == 0:
            self._begin()
        elif (whence, offset) != (1, 0) and (whence, offset) != (0, self._out):
            raise io.UnsupportedOperation("a packed file can't be entered in the middle")
        return self._out

    def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer`; returns the bytes written, 0 at the end or at damage.

        Raises:
            DataError: DATA_BOMB.
        """
        view = memoryview(buffer).cast("B")
        data = self._next(min(len(view), _CHUNK))
        view[: len(data)] = data
        self._out += len(data)
        if self._out > MAX_OUTPUT and self._out > MAX_RATIO * self.consumed:
            raise DataError(
                "DATA_BOMB",
                f"{self.consumed:,} packed bytes unfold to more than {self._out:,}, over {MAX_RATIO} times as many.",
                "Unpack it yourself, look at it, and choose the unpacked file.",
            )
        return len(data)

    def _next(self, size: int) -> bytes:
        while self.damage is None:
            try:
                return self._source.read(1 if self._careful else size)
            except Damaged as error:
                # A failed read loses what came before the damage in the same piece: go back and take it byte by byte.
                if self._careful or not self._again():
                    self.damage = Problem(
                        "DATA_PACKED_DAMAGED",
                        f"The packed file is damaged after {self._out:,} unpacked bytes: {error}. "
                        "What comes after is not read.",
                        "Copy or download the file again.",
                    )
        return b""

    def _again(self) -> bool:
        done = self._out
        self._begin()
        try:
            while self._out < done:
                data = self._source.read(min(_CHUNK, done - self._out))
                if not data:
                    break
                self._out += len(data)
        except Damaged:
            pass
        reached, self._out = self._out, done
        self._careful = True
        return reached == done


class _Gzip:
    """Members of a gzip file, one after the other, as `cat a.gz b.gz` makes them; zeros may pad the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._member = zlib.decompressobj(wbits=31)
        self._packed = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """See `_Source`. A single byte is got from as few packed bytes as can be, so that damage behind it does not cost it."""
        while True:
            if self._at == len(self._packed):
                self._packed, self._at = self._file.read(_CHUNK), 0
            if self._member.eof:
                while self._packed and not (rest := self._packed[self._at :].lstrip(b"\0")):
                    self._packed, self._at = self._file.read(_CHUNK), 0
                if not self._packed:
                    return b""
                self._packed, self._at = rest, 0
                self._member = zlib.decompressobj(wbits=31)
            piece = self._packed[self._at : self._at + 1] if size == 1 else self._packed[self._at :]
            try:
                data = self._member.decompress(piece, size)
            except zlib.error as error:
                raise Damaged(str(error).rpartition(": ")[2]) from None
            # At the end of a member both may name the same bytes.
            left = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._at += len(piece) - len(left)
            if data:
                return data
            if not piece and not self._member.eof:
                raise Damaged("the file ends early")


class _Zstandard:
    """Frames of a Zstandard file. Windows above 128 MiB are refused by the library, which bounds memory."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow

        self._errors = (pyarrow.ArrowException, OSError, ValueError)
        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(_Kept(file), mode="r"), "zstd")

    def read(self, size: int) -> bytes:
        """See `_Source`."""
        try:
            data: bytes = self._stream.read(size)
        except self._errors as error:
            raise Damaged(safe_text(str(error), limit=100).rstrip(".")) from None
        return data


class _Kept:
    """A file that stays open when the library closes it."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(size)

    def close(self) -> None:
        """Nothing: the file belongs to somebody else."""
