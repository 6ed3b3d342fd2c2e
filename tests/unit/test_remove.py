from __future__ import annotations

import os
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.protocol.errors import DataError, TryAgainError
from backprop_tui.store.columns import place_of
from backprop_tui.store.layout import RunDir, create_run, list_runs
from backprop_tui.store.locks import RunLock
from backprop_tui.store.remove import delete_run
from backprop_tui.store.summary import load_summary


def test_a_finished_run_goes_with_all_it_holds() -> None:
    run, other = create_run({}), create_run({})
    (run.checkpoint(1)).mkdir()
    (run.checkpoint(1) / "weights").write_bytes(b"1")
    load_summary(run)
    place_of(run.id).mkdir(parents=True)
    delete_run(run)
    assert list_runs() == [other]
    assert not place_of(run.id).exists()
    assert os.listdir(paths.runs_dir()) == [other.id]


def test_a_live_run_is_refused_and_untouched() -> None:
    run = create_run({})
    for file in (run.lock_file, run.worker_lock):
        with RunLock(file).acquire(), pytest.raises(TryAgainError) as refusal:
            delete_run(run)
        assert refusal.value.code == "RUN_HELD"
        assert run.spec_file.exists()
    delete_run(run)
    assert list_runs() == []


def test_symlinks_foreign_and_unmarked_directories_are_refused(tmp_path: Path) -> None:
    root = paths.runs_dir()
    root.mkdir(parents=True)
    victim = tmp_path / "20260101-000000-aaaa"
    victim.mkdir()
    (victim / "run.json").write_text("{}")
    (root / "20260101-000000-aaaa").symlink_to(victim)
    unmarked = root / "20260101-000000-bbbb"
    unmarked.mkdir()
    linked = root / "20260101-000000-cccc"
    linked.mkdir()
    (linked / "run.json").symlink_to(victim / "run.json")
    named = root / "backups"
    named.mkdir()
    (named / "run.json").write_text("{}")
    for path in (root / "20260101-000000-aaaa", victim, unmarked, linked, named, root / ".." / "runs"):
        with pytest.raises(DataError) as refusal:
            delete_run(RunDir(path))
        assert refusal.value.code == "RUN_NOT_OURS"
    assert sorted(os.listdir(root)) == sorted([victim.name, unmarked.name, linked.name, "backups"])
    assert (victim / "run.json").exists()


def test_symlinks_inside_are_removed_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("kept")
    run = create_run({})
    (run.artifacts / "link").symlink_to(victim)
    delete_run(run)
    assert (victim / "file").read_text() == "kept"


def test_the_next_deletion_finishes_an_interrupted_one() -> None:
    run = create_run({})
    left = paths.runs_dir() / f".trash-{run.id}-0123abcd"
    left.mkdir()
    keep = paths.runs_dir() / ".trash-of-mine"
    keep.mkdir()
    delete_run(run)
    assert os.listdir(paths.runs_dir()) == [keep.name]
