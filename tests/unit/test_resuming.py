"""What a resume goes on from, what it passes over and says so; and the copy a fork takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.resume_words import resume_sentence
from backprop_tui.store import checkpoints, lineage, resuming
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.lineage import Parent
from backprop_tui.store.remove import delete_run
from tests.unit.test_retention import STATE, save


@pytest.fixture
def run() -> RunDir:
    made = create_run({"name": "test"})
    for step in (10, 20, 30):
        save(made, step)
    return made


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def reseal_without(run: RunDir, step: int, name: str) -> None:
    """A checkpoint that was published without a file: whole by its manifest, and useless for going on."""
    place = run.checkpoint(step)
    (place / name).unlink()
    manifest = json.loads((place / checkpoints.MANIFEST).read_bytes())
    del manifest["files"][name]
    (place / checkpoints.MANIFEST).write_text(json.dumps(manifest))
    assert checkpoints.verify(place) is None


def test_damaged_ones_are_passed_over_by_name(run: RunDir) -> None:
    flip(run.checkpoint(30) / "adapter_model.safetensors")
    os.truncate(run.checkpoint(20) / "optimizer.pt", 2)
    found = resuming.find_candidate(run)
    assert found.step == 10
    assert [info.step for info in found.skipped] == [30, 20]
    assert (
        "Step 30 is passed over: adapter_model.safetensors of step-000030 is damaged: its SHA-256 differs."
        in found.words()
    )
    assert "Step 20 is passed over: optimizer.pt of step-000020 has 2 bytes instead of 12" in found.words()


@pytest.mark.parametrize("name", STATE)
def test_one_that_lacks_what_going_on_needs_is_passed_over(run: RunDir, name: str) -> None:
    reseal_without(run, 30, name)
    found = resuming.find_candidate(run)
    assert found.step == 20
    assert name.partition(".")[0] in found.words()
    assert resuming.find_candidate(run, deep=False).step == 20


def test_files_of_several_processes_count_as_well(run: RunDir) -> None:
    tmp = checkpoints.staging(run, 40)
    for name in ("adapter_model.safetensors", *STATE):
        (tmp / name.replace("rng_state", "rng_state_1")).write_text(name)
    checkpoints.publish(tmp, run.checkpoint(40), step=40, fingerprint={})
    assert resuming.find_candidate(run).step == 40


def test_nothing_sound_begins_again(run: RunDir) -> None:
    for step in (10, 20, 30):
        (run.checkpoint(step) / checkpoints.MANIFEST).unlink()
    found = resuming.find_candidate(run)
    assert (found.info, found.step, len(found.skipped)) == (None, None, 3)
    with pytest.raises(DataError) as error:
        resuming.checkpoint_at(run, None)
    assert error.value.code == "CHECKPOINT_NONE"


def test_a_fork_asks_for_a_step_that_is_there_and_whole(run: RunDir) -> None:
    assert resuming.checkpoint_at(run, None).step == 30
    assert resuming.checkpoint_at(run, 20).step == 20
    with pytest.raises(DataError) as unknown:
        resuming.checkpoint_at(run, 25)
    assert unknown.value.code == "CHECKPOINT_UNKNOWN"
    assert "10, 20, 30" in unknown.value.next_step
    flip(run.checkpoint(20) / "adapter_model.safetensors")
    with pytest.raises(DataError) as damaged:
        resuming.checkpoint_at(run, 20)
    assert damaged.value.code == "CHECKPOINT_INVALID"


def test_the_copy_shares_bytes_and_outlives_its_parent(run: RunDir) -> None:
    child = create_run({"name": "child"}, parent=Parent(run.id, 20, "weights").to_dict())
    source = resuming.checkpoint_at(run, 20)
    copy = lineage.adopt(child, source, "weights")
    weights = copy / "adapter_model.safetensors"
    assert os.stat(weights).st_ino == os.stat(source.path / "adapter_model.safetensors").st_ino
    assert sorted(os.listdir(copy)) == [checkpoints.MANIFEST, "adapter_model.safetensors"]
    assert lineage.origin_of(child) == copy
    assert [other.id for other in lineage.children_of(run)] == [child.id]
    content = weights.read_bytes()
    delete_run(run)
    assert weights.read_bytes() == content
    assert lineage.origin_of(child) == copy
    flip(weights)
    with pytest.raises(DataError) as error:
        lineage.origin_of(child)
    assert error.value.code == "ORIGIN_DAMAGED"


def test_with_the_optimiser_it_is_an_ordinary_checkpoint_of_the_child(run: RunDir) -> None:
    child = create_run({"name": "child"}, parent=Parent(run.id, 20, "optimizer").to_dict())
    lineage.adopt(child, resuming.checkpoint_at(run, 20), "optimizer")
    found = resuming.find_candidate(child)
    assert (found.step, found.skipped) == (20, ())
    assert lineage.origin_of(child) is None


def test_without_hard_links_it_is_copied(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    child = create_run({"name": "child"}, parent=Parent(run.id, 20, "weights").to_dict())
    copy = lineage.adopt(child, resuming.checkpoint_at(run, 20), "weights")
    theirs = run.checkpoint(20) / "adapter_model.safetensors"
    assert (copy / "adapter_model.safetensors").read_bytes() == theirs.read_bytes()
    assert os.stat(copy / "adapter_model.safetensors").st_ino != os.stat(theirs).st_ino


def test_damage_and_links_are_found_while_copying(run: RunDir, tmp_path: Path) -> None:
    child = create_run({"name": "child"})
    source = resuming.checkpoint_at(run, 20)
    flip(run.checkpoint(20) / "adapter_model.safetensors")
    with pytest.raises(DataError, match="damaged"):
        lineage.adopt(child, source, "weights")
    source = resuming.checkpoint_at(run, 30)
    (tmp_path / "secret").write_text("x")
    (run.checkpoint(30) / "adapter_model.safetensors").unlink()
    (run.checkpoint(30) / "adapter_model.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="symbolic link"):
        lineage.adopt(child, source, "weights")
    assert os.listdir(child.checkpoints) == []


def test_a_manifest_that_names_files_elsewhere_is_refused(run: RunDir) -> None:
    place = run.checkpoint(20)
    manifest = json.loads((place / checkpoints.MANIFEST).read_bytes())
    manifest["files"]["../../run.json"] = manifest["files"]["state.json"]
    source = resuming.checkpoint_at(run, 20)
    (place / checkpoints.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="outside"):
        lineage.adopt(create_run({"name": "child"}), source, "weights")


def test_the_three_kinds_in_words() -> None:
    exact = resume_sentence({"kind": "exact", "step": 1200, "differences": [], "skipped": []})
    assert exact == "Exact resume after step 1,200: everything a continuation depends on is as it was."
    other = resume_sentence(
        {"kind": "statistical", "step": 12, "differences": ["torch 2.12 → 2.13", "threads 1 → 2"], "skipped": []}
    )
    assert other.endswith("Differs: torch 2.12 → 2.13; threads 1 → 2.")
    parent = Parent("20261125-000000-k3f9", 400, "weights")
    warm = resume_sentence({"kind": "warm", "step": 0, "differences": [], "skipped": [], "parent": parent.to_dict()})
    assert "began with the weights of k3f9 at step 400 and a fresh optimiser" in warm
    assert "\x1b" not in resume_sentence({"kind": "exact", "step": "\x1b[2J", "skipped": ["\x1b]0;x\x07 odd"]})
