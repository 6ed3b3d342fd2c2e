"""Files that are something else than their name says."""

from __future__ import annotations

import gzip
import io
import pickle
import sqlite3
import tarfile
import zipfile
from pathlib import Path

from tests.unit.data.hostile.case import CHAT, Case
from tests.unit.data.hostile.packed import zstd


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x.jsonl"))
    return buffer.getvalue()


def _database(folder: Path) -> None:
    with sqlite3.connect(folder / "x.json") as connection:
        connection.execute("create table x (a)")
    connection.close()


_KIND = "DATA_WRONG_KIND"
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"

DISGUISED = [
    Case("gzip called jsonl", "x.jsonl", gzip.compress(CHAT), error=_KIND),
    Case("zst called csv", "x.csv", zstd(CHAT), error=_KIND),
    Case("parquet called json", "x.json", b"PAR1\x15\x04\x15" + bytes(40) + b"PAR1", error=_KIND),
    Case("arrow called csv", "x.csv", b"ARROW1\x00\x00" + bytes(40), error=_KIND),
    Case("arrow called parquet", "x.parquet", b"ARROW1\x00\x00" + bytes(40), error=_KIND),
    Case("spreadsheet called csv", "x.csv", _zip("[Content_Types].xml", "xl/workbook.xml"), error=_KIND),
    Case("zip called jsonl", "x.jsonl", _zip("x.jsonl"), error=_KIND),
    Case("tar called json", "x.json", _tar(), error=_KIND),
    Case("tar inside gzip", "x.jsonl.gz", gzip.compress(_tar()), error=_KIND),
    Case("database called json", "x.json", _database, error=_KIND),
    Case("pickle called jsonl", "x.jsonl", pickle.dumps([{"text": "x"}]), error=_KIND),
    Case("error page called json", "x.json", b"\n<!DOCTYPE html><html><body>404</body></html>", error=_KIND),
    Case("error page called parquet", "x.parquet", b"<html><head><title>503</title></head></html>", error=_KIND),
    Case("error page called csv", "x.csv", b"\xef\xbb\xbf<HTML lang=en>\n", error=_KIND),
    Case("git-lfs pointer called parquet", "x.parquet", _POINTER, error=_KIND),
    Case("git-lfs pointer called jsonl", "x.jsonl", _POINTER, error=_KIND),
    Case("PDF called txt", "x.txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", error=_KIND),
    Case("program called txt", "x.txt", b"\x7fELF\x02\x01\x01" + bytes(60), error=_KIND),
    Case("HTML in Markdown is text", "x.md", b"<html> is how a page begins", kept=1),
    Case("text that begins like another kind", "x.txt", b"ORC and BZh and PAR1 are words\n\nBZh too\n\nOK", kept=3),
    Case("unknown ending", "x.yaml", b"a: 1", error="DATA_EXTENSION_UNKNOWN"),
    Case("no ending", "x", CHAT, error="DATA_EXTENSION_UNKNOWN"),
]
