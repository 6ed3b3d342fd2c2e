"""A file of rows appears whole or not at all, never over something nobody asked to replace."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backprop_tui.data.formats import Conversation, Message, Normalised, Preference
from backprop_tui.data.writers import write_rows
from backprop_tui.protocol.errors import DataError, UnavailableError, UsageError

Q, A = Message("user", "q"), Message("assistant", "a")
ONE = Conversation((Q, A))
PAIR = Preference((Q,), (A,), (Message("assistant", "b"),))


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("mine")
    with pytest.raises(UsageError) as error:
        # Said before hours of reading, not after.
        write_rows(map(pytest.fail, ["a row was read"]), out, "messages")  # type: ignore[arg-type]
    assert error.value.code == "DATA_OUT_EXISTS"
    assert out.read_text() == "mine"
    write_rows([ONE], out, "messages", overwrite=True)
    assert json.loads(out.read_text())["messages"][0]["content"] == "q"
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"

    def rows() -> Iterator[Normalised]:
        yield ONE
        out.write_text("somebody else's")

    with pytest.raises(UsageError) as error:
        write_rows(rows(), out, "messages")
    assert error.value.code == "DATA_OUT_EXISTS"
    assert out.read_text() == "somebody else's"
    assert os.listdir(tmp_path) == ["x.jsonl"]


@pytest.mark.parametrize("link", ["", "symlink", "hardlink", "dotted"])
def test_the_input_is_never_written_onto(tmp_path: Path, link: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("precious")
    out = source
    if link == "dotted":
        (tmp_path / "sub").mkdir()
        out = tmp_path / "sub" / ".." / "in.jsonl"
    elif link:
        out = tmp_path / "out.jsonl"
        out.symlink_to(source) if link == "symlink" else out.hardlink_to(source)
    with pytest.raises(UsageError) as error:
        write_rows([ONE], out, "messages", overwrite=True, inputs=[tmp_path / "other.jsonl", source])
    assert error.value.code == "DATA_OUT_IS_INPUT"
    assert source.read_text() == "precious"


def test_a_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out.jsonl"
    victim.write_text("untouched")
    out.symlink_to(victim)
    write_rows([ONE], out, "messages", overwrite=True)
    assert not out.is_symlink()
    assert victim.read_text() == "untouched"


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "x.jsonl"
    out.mkdir() if kind == "folder" else os.mkfifo(out)
    with pytest.raises(UsageError) as error:
        write_rows([ONE], out, "messages", overwrite=True)
    assert error.value.code == "DATA_OUT_NOT_A_FILE"


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("exists", [True, False])
def test_rows_that_stop_with_an_error_leave_no_trace(tmp_path: Path, ending: str, exists: bool) -> None:
    out = tmp_path / f"x.{ending}"
    if exists:
        out.write_text("old")

    def rows() -> Iterator[Normalised]:
        yield from [ONE] * 3000
        raise DataError("DATA_CHANGED", "The file changed.")

    with pytest.raises(DataError) as error:
        write_rows(rows(), out, "alpaca", overwrite=True)
    assert error.value.code == "DATA_CHANGED"
    assert os.listdir(tmp_path) == ([out.name] if exists else [])
    assert not exists or out.read_text() == "old"


def test_an_error_met_while_reading_is_not_blamed_on_the_result(tmp_path: Path) -> None:
    def rows() -> Iterator[Normalised]:
        yield ONE
        (tmp_path / "gone").read_text()

    with pytest.raises(FileNotFoundError):
        write_rows(rows(), tmp_path / "x.jsonl", "messages")


def test_nothing_to_write_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("old")
    for rows in ([], [PAIR]):
        with pytest.raises(DataError) as error:
            write_rows(rows, out, "messages", overwrite=True)
        assert error.value.code == "DATA_NOTHING_WRITTEN"
    assert out.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.jsonl"]


_WRITE = """
import sys
from pathlib import Path
from backprop_tui.data.formats import Conversation, Message
from backprop_tui.data.writers import write_rows
row = Conversation((Message("user", "q" * 1000), Message("assistant", "a" * 1000)))
def rows():
    for place in range(4000):
        if place == 2000 and sys.argv[2] == "wait":
            print("half", flush=True)
            sys.stdin.readline()
        yield row
try:
    write_rows(rows(), Path(sys.argv[1]), "messages", overwrite=True)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path: Path, ending: str) -> None:
    def small_files_only() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = 4096 if ending == "parquet" else 1 << 20
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    out = tmp_path / f"x.{ending}"
    out.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, str(out), "on"],
        capture_output=True, text=True, preexec_fn=small_files_only, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(f"{UnavailableError.__name__} DATA_OUT_FAILED"), done.stderr
    assert out.read_text() == "old"
    assert os.listdir(tmp_path) == [out.name]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("old")
    with subprocess.Popen(
        [sys.executable, "-c", _WRITE, str(out), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        assert sum(path.stat().st_size for path in tmp_path.glob(".x.jsonl.*.part")) > 1_000_000
        writer.kill()
    assert out.read_text() == "old"
