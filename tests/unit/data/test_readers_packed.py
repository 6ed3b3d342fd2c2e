"""Packed files: every row in front of damage is kept, bombs are refused, progress is told in packed bytes."""

from __future__ import annotations

import gzip
import io
import json
import random
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backprop_tui.data.readers import packed
from backprop_tui.data.readers.packed import Unpacked
from backprop_tui.data.sources import can_seek, check_source, extension_of, read_rows
from backprop_tui.protocol.errors import DataError
from tests.unit.data.hostile.packed import zstd

ROWS = [{"text": f"{n} {random.Random(n).getrandbits(600):x}"} for n in range(400)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
PACK = {".gz": gzip.compress, ".zst": zstd}


def unpack(data: bytes, packing: str, size: int = -1) -> tuple[bytes, str]:
    stream = Unpacked(io.BytesIO(data), packing)
    reader = io.BufferedReader(stream, 4096)
    out = reader.read() if size < 0 else b"".join(iter(lambda: reader.read(size), b""))
    return out, stream.damage.code if stream.damage else ""


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("size", [-1, 1, 7, 5000])
def test_the_same_bytes_come_out(packing: str, size: int) -> None:
    assert unpack(PACK[packing](LINES), packing, size) == (LINES, "")
    twice = PACK[packing](LINES) + PACK[packing](b"") + PACK[packing](LINES)
    assert unpack(twice, packing, size) == (LINES * 2, "")


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_rows_of_a_packed_file(packing: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.jsonl{packing}"
    path.write_bytes(PACK[packing](LINES))
    rows = list(read_rows(path))
    assert [row.value for row in rows] == ROWS
    assert [row.line for row in rows] == list(range(1, 401))
    assert {row.start for row in rows} == {None}
    ends = [row.end for row in rows]
    assert ends == sorted(ends)
    assert ends[-1] == path.stat().st_size == check_source(path)
    assert not can_seek(path)


def test_gzip_cut_at_every_byte_gives_all_that_can_be_unpacked() -> None:
    data = gzip.compress(LINES[:3000])
    for length in range(10, len(data), 7):
        expected = zlib.decompressobj(wbits=31).decompress(data[:length])
        assert unpack(data[:length], ".gz") == (expected, "DATA_PACKED_DAMAGED"), length


def test_gzip_bent_at_every_byte_gives_what_precedes_the_damage() -> None:
    data = gzip.compress(LINES[:3000])
    for place in range(12, len(data), 11):
        bent = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        oracle, expected, damaged = zlib.decompressobj(wbits=31), b"", False
        try:
            for byte in bent:
                expected += oracle.decompress(bytes([byte]))
        except zlib.error:
            damaged = True
        got, code = unpack(bent, ".gz")
        assert got == expected, place
        assert bool(code) == (damaged or not oracle.eof), place


def test_zst_cut_off_keeps_whole_blocks() -> None:
    data = zstd(bytes(random.Random(3).randbytes(400_000)))
    got, code = unpack(data[:-1000], ".zst")
    assert code == "DATA_PACKED_DAMAGED"
    assert len(got) >= 256 << 10


def test_damage_in_a_second_frame_keeps_the_first() -> None:
    assert unpack(zstd(LINES) + zstd(LINES)[:20], ".zst") == (LINES, "DATA_PACKED_DAMAGED")
    assert unpack(gzip.compress(LINES) + b"rubbish", ".gz") == (LINES, "DATA_PACKED_DAMAGED")


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_bomb_is_a_matter_of_size_and_ratio(packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_OUTPUT", 1 << 20)
    bomb = PACK[packing](bytes(4 << 20))
    with pytest.raises(DataError) as error:
        unpack(bomb, packing)
    assert error.value.code == "DATA_BOMB"
    assert f"{len(bomb):,}" in error.value.cause
    assert unpack(PACK[packing](bytes(1 << 20)), packing)[1] == ""
    honest = random.Random(5).randbytes(2 << 20)
    assert unpack(PACK[packing](honest), packing) == (honest, "")


def test_a_packed_file_begins_again_but_can_not_be_entered() -> None:
    stream = Unpacked(cast(BinaryIO, io.BytesIO(gzip.compress(LINES))), ".gz")
    first = stream.read(100)
    assert stream.seek(0) == 0
    assert stream.read(100) == first == LINES[:100]
    with pytest.raises(io.UnsupportedOperation):
        stream.seek(50)


def test_problems_inside_a_packed_file_have_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\noops\n')[:-4])
    problems = [(row.index, row.problem.code, row.problem.line) for row in read_rows(path) if row.problem]
    assert problems == [(1, "DATA_LINE_NOT_JSON", 2), (2, "DATA_PACKED_DAMAGED", None)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.JSONL", ".jsonl"), ("x.jsonl.GZ", ".jsonl.gz"), ("a.b.csv.zst", ".csv.zst"), ("x.gz", ""), ("x.tar.gz", ""),
        ("x.gz.gz", ""), ("jsonl.gz", ""), (".jsonl", ""), ("x", ""), ("x.feather", ".feather"), ("x.parquet.gz", ".parquet.gz"),
    ],
)  # fmt: skip
def test_endings(name: str, expected: str) -> None:
    assert extension_of(name) == expected
