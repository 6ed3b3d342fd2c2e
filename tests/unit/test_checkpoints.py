from __future__ import annotations

import os
from pathlib import Path

import pytest

from backprop_tui.protocol.errors import BackpropError, DataError
from backprop_tui.store import checkpoints, retention
from backprop_tui.store.layout import RunDir, create_run


@pytest.fixture
def run() -> RunDir:
    return create_run({"name": "test"})


def save(run: RunDir, step: int, content: bytes = b"weights" * 1000) -> int:
    tmp = checkpoints.staging(run, step)
    (tmp / "adapter_model.safetensors").write_bytes(content)
    (tmp / "state").mkdir()
    (tmp / "state" / "optimizer.pt").write_bytes(content[::-1])
    return checkpoints.publish(tmp, run.checkpoint(step), step=step, fingerprint={"data": "abc"})


def steps(run: RunDir) -> list[int]:
    return [info.step for info in checkpoints.list_checkpoints(run)]


def test_published_whole_with_its_size(run: RunDir) -> None:
    size = save(run, 40)
    place = run.checkpoint(40)
    assert size == sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    assert checkpoints.verify(place) is None
    manifest = checkpoints.read_manifest(place)
    assert manifest is not None
    assert manifest["step"] == 40
    assert manifest["fingerprint"] == {"data": "abc"}
    assert [name for name in os.listdir(run.checkpoints) if name.startswith(".")] == []


def test_a_crash_before_the_rename_leaves_the_earlier_one(run: RunDir) -> None:
    save(run, 40, b"old")
    for at in ("file", "rename"):

        def crash(point: str, at: str = at) -> None:
            if point == at:
                raise OSError("pulled the plug")

        tmp = checkpoints.staging(run, 40)
        (tmp / "adapter_model.safetensors").write_bytes(b"new")
        with pytest.raises(OSError, match="plug"):
            checkpoints.publish(tmp, run.checkpoint(40), step=40, fingerprint={}, observe=crash)
    assert steps(run) == [40]
    assert (run.checkpoint(40) / "adapter_model.safetensors").read_bytes() == b"old"
    checkpoints.sweep(run)
    assert os.listdir(run.checkpoints) == ["step-000040"]


@pytest.mark.parametrize("where", [0, 3500, 6999])
def test_a_flipped_byte_is_found_and_the_earlier_checkpoint_used(run: RunDir, where: int) -> None:
    save(run, 10)
    save(run, 20)
    target = run.checkpoint(20) / "state" / "optimizer.pt"
    raw = bytearray(target.read_bytes())
    raw[where] ^= 1
    target.write_bytes(raw)
    problem = checkpoints.verify(run.checkpoint(20))
    assert problem is not None
    assert "state/optimizer.pt" in problem
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == 10


def test_cut_missing_added_and_unsealed_are_problems(run: RunDir) -> None:
    for step in (10, 20, 30, 40, 50):
        save(run, step)
    os.truncate(run.checkpoint(20) / "adapter_model.safetensors", 100)
    (run.checkpoint(30) / "state" / "optimizer.pt").unlink()
    (run.checkpoint(40) / "rng_state.pth").write_bytes(b"foreign pickle")
    (run.checkpoint(50) / checkpoints.MANIFEST).unlink()
    problems = {info.step: info.problem for info in checkpoints.list_checkpoints(run)}
    assert problems[10] is None
    assert all(problems[step] for step in (20, 30, 40, 50))
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == 10


def test_a_renamed_checkpoint_is_not_taken_for_a_later_one(run: RunDir) -> None:
    save(run, 10)
    run.checkpoint(10).rename(run.checkpoint(900))
    assert checkpoints.newest_valid(run) is None


def test_newest_is_by_step_never_by_time(run: RunDir) -> None:
    for step, time in ((30, 1_000), (10, 3_000), (20, 2_000)):
        save(run, step)
        os.utime(run.checkpoint(step), (time, time))
    newest, earlier = checkpoints.newest_valid(run), checkpoints.newest_valid(run, upto=29)
    assert newest is not None
    assert earlier is not None
    assert (newest.step, earlier.step) == (30, 20)
    assert retention.retain(run, keep=1, best_step=10) == [20]
    assert steps(run) == [10, 30]


def test_retention_leaves_foreign_directories_and_does_not_count_damaged_ones(run: RunDir) -> None:
    for step in (10, 20, 30, 40):
        save(run, step)
    for name in ("step-000005", "checkpoint-mybackup", "step-000007.bak"):
        (run.checkpoints / name).mkdir()
        (run.checkpoints / name / "mine").write_text("mine")
    os.truncate(run.checkpoint(40) / "adapter_model.safetensors", 1)
    assert retention.retain(run, keep=2, best_step=None) == [10]
    assert {"step-000005", "checkpoint-mybackup", "step-000007.bak", "step-000040"} <= set(os.listdir(run.checkpoints))


def test_symlinks_are_never_followed(run: RunDir, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work")
    run.checkpoint(10).symlink_to(victim)
    assert checkpoints.list_checkpoints(run) == []
    with pytest.raises(DataError):
        checkpoints.remove_checkpoint(run, 10)
    save(run, 20)
    (run.checkpoint(20) / "link").symlink_to(victim)
    assert checkpoints.verify(run.checkpoint(20)) is not None
    checkpoints.remove_checkpoint(run, 20)
    save(run, 10)
    assert checkpoints.verify(run.checkpoint(10)) is None
    assert (victim / "thesis.txt").read_text() == "years of work"


def test_a_symlink_is_not_published(run: RunDir, tmp_path: Path) -> None:
    tmp = checkpoints.staging(run, 10)
    (tmp / "weights").symlink_to(tmp_path)
    with pytest.raises(BackpropError):
        checkpoints.publish(tmp, run.checkpoint(10), step=10, fingerprint={})
    assert steps(run) == []


def test_checkpoints_directory_replaced_by_a_symlink(run: RunDir, tmp_path: Path) -> None:
    victim = tmp_path / "step-000010"
    victim.mkdir()
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to(tmp_path)
    with pytest.raises(DataError):
        checkpoints.remove_checkpoint(run, 10)
    checkpoints.sweep(run)
    assert victim.is_dir()
