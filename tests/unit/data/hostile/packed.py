"""Packed files: bombs, cut off, bent, padded, joined, and not packed at all."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections import Counter
from pathlib import Path

from tests.unit.data.hostile.case import CHAT, Case, line

_RANDOM = random.Random(7)
_MANY = b"".join(line(text=f"{n} {_RANDOM.getrandbits(400):x}") for n in range(500))


def zstd(data: bytes) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return bytes(sink.getvalue())


def zeros(size: int) -> bytes:
    """A gzip bomb: `size` zero bytes, packed without holding them."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def _bent(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes(byte ^ 0x55 for byte in packed[middle : middle + 8]) + packed[middle + 8 :]


def _wrong_sum(packed: bytes) -> bytes:
    return packed[:-8] + bytes(4) + packed[-4:]


def _zst_bomb(folder: Path) -> None:
    import pyarrow

    with pyarrow.CompressedOutputStream(str(folder / "x.jsonl.zst"), "zstd") as out:
        for _ in range(1600):
            out.write(line(text="b" * (64 << 10)))


def _far_window() -> bytes:
    """A frame that asks for a window of 2 GiB."""
    return b"\x28\xb5\x2f\xfd" + bytes([0x00, 21 << 3]) + zstd(b"x" * 100)[6:]


def _broken_off(id: str, packed: bytes) -> Case:
    """A case that keeps every row in front of the damage; what that is, is found out byte by byte."""
    unpacker = zlib.decompressobj(wbits=31)
    text = b""
    try:
        for place in range(len(packed)):
            text += unpacker.decompress(packed[place : place + 1])
    except zlib.error:
        pass
    dropped = Counter({"DATA_PACKED_DAMAGED": 1})
    kept = 0
    for row in filter(None, text.split(b"\n")):
        try:
            json.loads(row.decode())
            kept += 1
        except UnicodeDecodeError:
            dropped["DATA_NOT_UTF8"] += 1
        except ValueError:
            dropped["DATA_LINE_NOT_JSON"] += 1
    assert kept > 100
    return Case(id, "x.jsonl.gz", packed, kept=kept, dropped=dict(dropped))


PACKED = [
    Case("gzip", "x.jsonl.gz", gzip.compress(CHAT * 3), kept=3),
    Case("zst", "x.jsonl.zst", zstd(CHAT * 3), kept=3),
    Case("packed CSV", "x.csv.gz", gzip.compress(b"question,answer\nNA,b\n"), kept=1),
    Case("packed text", "x.txt.zst", zstd(b"one\n\ntwo"), kept=2),
    Case("packed JSON", "x.json.gz", gzip.compress(b'[{"text":"x"}]'), kept=1),
    Case("joined gzip members", "x.jsonl.gz", gzip.compress(CHAT) + gzip.compress(CHAT), kept=2),
    Case("joined zst frames", "x.jsonl.zst", zstd(CHAT) + zstd(CHAT), kept=2),
    Case("gzip padded with zeros", "x.jsonl.gz", gzip.compress(CHAT) + bytes(100_000), kept=1),
    Case(
        "rubbish after gzip", "x.jsonl.gz", gzip.compress(CHAT) + b"rubbish", kept=1, dropped={"DATA_PACKED_DAMAGED": 1}
    ),
    Case("gzip bomb", "x.jsonl.gz", lambda _: zeros(100 << 20), error="DATA_BOMB"),
    Case("gzip bomb of JSON", "x.json.gz", lambda _: zeros(100 << 20), error="DATA_BOMB"),
    Case("gzip bomb of parquet", "x.parquet.gz", lambda _: zeros(100 << 20), error="DATA_BOMB"),
    Case("zst bomb", "x.jsonl.zst", _zst_bomb, error="DATA_BOMB"),
    Case(
        "gzip with a wrong sum",
        "x.jsonl.gz",
        _wrong_sum(gzip.compress(CHAT * 3)),
        kept=3,
        dropped={"DATA_PACKED_DAMAGED": 1},
    ),
    Case(
        "gzip without its end", "x.jsonl.gz", gzip.compress(CHAT * 3)[:-8], kept=3, dropped={"DATA_PACKED_DAMAGED": 1}
    ),
    Case("zst without its end", "x.jsonl.zst", zstd(CHAT * 3)[:-3], dropped={"DATA_PACKED_DAMAGED": 1}),
    Case("only a gzip head", "x.jsonl.gz", gzip.compress(CHAT)[:10], dropped={"DATA_PACKED_DAMAGED": 1}),
    Case("zst with a far window", "x.jsonl.zst", _far_window(), dropped={"DATA_PACKED_DAMAGED": 1}),
    Case("gzip of nothing", "x.jsonl.gz", gzip.compress(b""), error="DATA_FILE_EMPTY"),
    Case("not packed", "x.jsonl.gz", CHAT, error="DATA_WRONG_KIND"),
    Case("zst called gz", "x.jsonl.gz", zstd(CHAT), error="DATA_WRONG_KIND"),
    Case("packed twice", "x.jsonl.gz", gzip.compress(gzip.compress(CHAT)), error="DATA_WRONG_KIND"),
    Case("packed and nameless", "x.gz", gzip.compress(CHAT), error="DATA_EXTENSION_UNKNOWN"),
    Case("torn parquet in gzip", "x.parquet.gz", gzip.compress(b"PAR1" + bytes(500))[:-9], error="DATA_PACKED_DAMAGED"),
    _broken_off("bent gzip", _bent(gzip.compress(_MANY))),
    _broken_off("gzip cut in the middle", gzip.compress(_MANY)[:20_000]),
]
