"""The index of runs: always right, whatever happened to a run or to the database, and reading only what changed."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.states import RunState
from backprop_tui.store.filter import parse_filter
from backprop_tui.store.index import Listing, RunIndex
from backprop_tui.store.journal import JournalWriter
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.notes import change_notes, notes_file
from backprop_tui.store.remove import delete_run
from tests.support.runs import HOSTILE, FakeRun, finished

SPEC = {"name": "x", "model": {"base": "demo", "method": "lora"}, "lora": {"rank": 8}, "optim": {"learning_rate": 1e-4}}


def database() -> Path:
    (file,) = (paths.cache_dir() / "index").glob("runs-*.sqlite")
    return file


def test_a_second_look_reads_nothing_and_says_the_same() -> None:
    for name in ("one", "two", "three"):
        finished(8, name=name)
    index = RunIndex()
    first = index.look()
    assert first.read == 3
    assert {entry.title for entry in first.entries} == {"one", "two", "three"}
    assert index.look() == Listing(first.entries)
    # The same from the database, in another process's place.
    assert RunIndex().look() == Listing(first.entries)
    assert first.entries[0].state is RunState.COMPLETED
    assert first.entries[0].checkpoints == 4


def test_every_change_is_seen() -> None:
    fake = FakeRun(name="first").begin().train(3)
    index = RunIndex()

    def entry() -> object:
        (found,) = index.look().entries
        (again,) = RunIndex().look().entries
        assert repr(found) == repr(again), "a new reader of the database sees what an old one does"
        return found

    assert entry().state is RunState.RUNNING  # type: ignore[attr-defined]
    fake.train(1, loss="nan")
    found = entry()
    assert found.step == 4  # type: ignore[attr-defined]
    assert math.isnan(found.loss)  # type: ignore[attr-defined]
    change_notes(fake.run, lambda notes: notes.named("second").tagged(["good"]))
    found = entry()
    assert (found.title, found.tags) == ("second", ("good",))  # type: ignore[attr-defined]
    fake.let_go()
    assert entry().state is RunState.CRASHED, "the lock says so; no file changed"  # type: ignore[attr-defined]
    os.unlink(notes_file(fake.run))
    assert entry().title == "first"  # type: ignore[attr-defined]
    fake.run.spec_file.write_bytes(b"{")
    assert entry().title.startswith("run-")  # type: ignore[attr-defined]
    journal = JournalWriter(fake.run.journal_file)
    journal.append(ev.END, {"outcome": "stopped", "step": 4, "reason": "", "checkpoint": None}, attempt=1)
    journal.close()
    assert entry().state is RunState.STOPPED  # type: ignore[attr-defined]
    other = finished(4, name="other")
    assert len(index.look().entries) == 2
    delete_run(other)
    assert len(index.look().entries) == 1
    assert len(RunIndex().look().entries) == 1


def test_a_journal_of_the_same_size_put_in_its_place_is_read() -> None:
    run = finished(4, name="same")
    index = RunIndex()
    index.look()
    content = run.journal_file.read_bytes()
    before = os.stat(run.journal_file)
    shutil.copy2(run.journal_file, run.path / "copy")
    os.replace(run.path / "copy", run.journal_file)
    assert os.stat(run.journal_file).st_mtime_ns == before.st_mtime_ns
    assert run.journal_file.read_bytes() == content
    assert index.look().read == 1, "another file number is another file"


def _garbage(file: Path) -> None:
    file.write_bytes(b"not a database" * 1000)


def _truncated(file: Path) -> None:
    os.truncate(file, 5000)


def _other_tables(file: Path) -> None:
    file.unlink()
    base = sqlite3.connect(file)
    base.execute("CREATE TABLE runs (some)")
    base.commit()
    base.close()


def _hostile_rows(file: Path) -> None:
    base = sqlite3.connect(file)
    base.execute("UPDATE runs SET state = 'flying', stamp = 3")
    base.commit()
    base.close()


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [_garbage, _truncated, _other_tables, _hostile_rows, _directory])
def test_a_damaged_database_costs_nothing_but_a_reading(damage: Callable[[Path], None]) -> None:
    for name in ("one", "two"):
        finished(8, name=name)
    index = RunIndex()
    right = index.look().entries
    index.close()
    damage(database())
    again = RunIndex()
    assert again.look().entries == right
    assert again.look() == Listing(right)


def test_a_cache_that_cannot_be_written_lists_all_the_same(home: Path) -> None:
    finished(4, name="one")
    (home / "cache").rmdir()
    (home / "cache").write_bytes(b"")
    index = RunIndex()
    (entry,) = index.look().entries
    assert entry.title == "one"
    index.fill(["rank"])
    assert index.look().read == 0, "it is remembered as long as the process lives"


def test_another_runs_directory_has_its_own_database(home: Path) -> None:
    finished(4, name="one")
    RunIndex().look()
    other = home / "elsewhere"
    create_run(SPEC, other)
    assert [entry.title for entry in RunIndex(other).look().entries] == ["x"]
    assert RunIndex().look().read == 0


def test_a_writer_in_the_way_is_not_waited_for() -> None:
    finished(4, name="one")
    index = RunIndex()
    index.look()
    blocker = sqlite3.connect(database(), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    finished(4, name="two")
    assert len(index.look().entries) == 2
    blocker.execute("ROLLBACK")
    blocker.close()
    assert RunIndex().look().read == 1


def test_looks_from_many_threads_agree() -> None:
    for number in range(12):
        finished(4, name=f"run-{number}")
    index, found = RunIndex(), []
    threads = [threading.Thread(target=lambda: found.append(index.look().entries)) for _ in range(6)]
    threads += [threading.Thread(target=lambda: found.append(RunIndex().look().entries)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 9
    assert all(entries == found[0] for entries in found)


def test_many_unread_runs_are_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backprop_tui.store.index._PART_S", 0.0)
    for number in range(5):
        finished(4, name=f"run-{number}")
    parts: list[Listing] = []
    whole = RunIndex().look(on_part=parts.append)
    assert [part.left for part in parts] == [4, 3, 2, 1, 0]
    assert [len(part.entries) for part in parts] == [1, 2, 3, 4, 5]
    assert whole.entries == parts[-1].entries
    stopped = RunIndex()
    (paths.cache_dir() / "index").rename(paths.cache_dir() / "away")
    assert len(stopped.look(cancelled=lambda: True).entries) == 0
    assert len(stopped.look().entries) == 5


def test_settings_are_filled_in_for_old_and_new_runs() -> None:
    create_run({**SPEC, "lora": {"rank": 64}, "data": {"packing": True, "path": "\ud800"}})
    index = RunIndex()
    index.look()
    index.fill(["rank", "packing", "learning_rate", "x') --"])
    create_run(SPEC)
    entries = index.look().entries
    for text, expected in (("rank>=64", 1), ("packing:on", 1), ("lr<1", 2), ("rank:8", 1), ("seed:1", 0)):
        wanted = parse_filter(text)
        assert sum(wanted.matches(entry) for entry in entries) == expected, text


def test_hostile_run_directories_are_listed() -> None:
    run = create_run(
        {"name": HOSTILE, "model": 7, "data": {"path": ["x"]}, "lora": {"rank": 10**400}, "optim": "\udfff"}
    )
    journal = JournalWriter(run.journal_file)
    for kind, data in (
        (ev.STEP, {"step": 10**30, "loss": "inf", "tokens": -(10**30)}),
        (ev.PLAN, {"total_steps": 10**25}),
        (ev.EVAL, {"loss": {}, "best": True, "step": []}),
        (ev.FAULT, {"code": "\ud800", "cause": 3}),
    ):
        journal.append(kind, data, attempt=10**20)
    journal.close()
    os.symlink("/", paths.runs_dir() / "20261123-184705-abcd")
    (paths.runs_dir() / "20261123-184705-efgh").write_bytes(b"")
    index = RunIndex()
    (entry,) = index.look().entries
    assert entry.title == HOSTILE
    assert math.isinf(entry.loss or 0.0)
    assert RunIndex().look() == Listing((entry,)) or RunIndex().look().entries[0].step == entry.step
    assert dict(index.views([entry.id]))[entry.id]["loss"] == "inf"


def test_a_run_deleted_while_it_is_looked_at_is_left_out() -> None:
    run = finished(4, name="one")
    index = RunIndex()
    index.look()
    shutil.rmtree(run.path)
    assert index.look().entries == ()
    assert isinstance(index.run(run.id), RunDir)
