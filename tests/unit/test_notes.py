"""What is noted of a run: kept beside it, whole at any moment, safe against two writers, and never lost by a damaged file."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol.errors import DataError, UnavailableError, UsageError
from backprop_tui.store.layout import RunDir, create_run, find_run
from backprop_tui.store.notes import Notes, change_notes, check_tag, notes_file, read_notes
from backprop_tui.store.summary import load_summary
from tests.support.runs import HOSTILE


def test_what_is_noted_survives_and_leaves_run_json_alone() -> None:
    run = create_run({"name": "first"})
    before = run.spec_file.read_bytes()
    change_notes(run, lambda notes: notes.tagged(["good", "#better", "good"]).noting("line one\nline two"))
    change_notes(run, lambda notes: notes.named("second").within("sweep 1"))
    found = read_notes(RunDir(run.path))
    assert found == Notes("second", ("good", "better"), "line one\nline two", "sweep 1", False)
    assert run.spec_file.read_bytes() == before
    assert notes_file(run).stat().st_mode & 0o777 == 0o600
    assert load_summary(run).title == "second"
    assert find_run("second").id == run.id
    change_notes(run, lambda notes: notes.untagged(["GOOD"]).named("").noting(""))
    assert read_notes(run).tags == ("better",)
    assert load_summary(run).title == "first"


def _tag_often(path: str, who: str, times: int) -> None:
    for number in range(times):
        change_notes(RunDir(Path(path)), lambda notes, tag=f"{who}{number}": notes.tagged([tag]))  # type: ignore[misc]


def test_two_writers_lose_nothing() -> None:
    run = create_run({"name": "busy"})
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_tag_often, args=(str(run.path), who, 20)) for who in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(read_notes(run).tags) == {f"{who}{number}" for who in "ab" for number in range(20)}


def test_a_damaged_file_is_read_as_nothing_and_not_written_over() -> None:
    run = create_run({"name": "x"})
    for content in (b"", b"[]", b"\xff", b'{"name": ', b"[" * 100_000, b" " * (1 << 21)):
        notes_file(run).write_bytes(content)
        assert read_notes(run) == Notes()
        with pytest.raises(DataError, match="RUN_NOTES_UNREADABLE"):
            change_notes(run, lambda notes: notes.named("y"))
        assert notes_file(run).read_bytes() == content


def test_keys_of_another_version_are_kept() -> None:
    run = create_run({"name": "x"})
    notes_file(run).write_text(json.dumps({"format": 1, "colour": "red", "name": 7, "tags": ["a", None, "a"]}))
    assert read_notes(run) == Notes(tags=("a",))
    change_notes(run, lambda notes: notes.noting("mine"))
    assert json.loads(notes_file(run).read_text())["colour"] == "red"


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="RUN_NOTES_NOT_WRITABLE"):
        change_notes(RunDir(tmp_path / "gone"), lambda notes: notes.named("y"))


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    run = create_run({"name": "x"})
    os.symlink(tmp_path / "elsewhere", run.path / "notes.lock")
    with pytest.raises(UnavailableError):
        change_notes(run, lambda notes: notes.named("y"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("tag", ["", " ", "a b", "a,b", "state:x", 'q"', "a" * 41, "\x1b[31m", "a|b"])
def test_a_tag_that_a_filter_could_not_name_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="TAG_INVALID"):
        check_tag(tag)


def test_names_are_plain_lines_and_nothing_is_written_when_refused() -> None:
    run = create_run({"name": "x"})
    for bad in (HOSTILE, "a\nb", "x" * 121):
        with pytest.raises(UsageError):
            change_notes(run, lambda notes, bad=bad: notes.named(bad))  # type: ignore[misc]
    assert not notes_file(run).exists()


@given(st.text(max_size=200))
def test_any_note_is_kept_as_text(text: str) -> None:
    assert Notes().noting(text).note == text.encode("utf-8", "replace").decode().strip()
