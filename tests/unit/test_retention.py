"""What goes and what stays: pins, counts, a cap on bytes; what is elsewhere or not ours is never touched."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol.errors import BackpropError, DataError
from backprop_tui.store import checkpoints, pins, retention
from backprop_tui.store.checkpoints import CheckpointInfo
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.retention import Shelf

STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "state.json")


@pytest.fixture
def run() -> RunDir:
    return create_run({"name": "test"})


def save(run: RunDir, step: int, size: int = 1000) -> None:
    tmp = checkpoints.staging(run, step)
    (tmp / "adapter_model.safetensors").write_bytes(os.urandom(size))
    for name in STATE:
        (tmp / name).write_text(name)
    checkpoints.publish(tmp, run.checkpoint(step), step=step, fingerprint={})


def steps(run: RunDir) -> list[int]:
    return [info.step for info in checkpoints.list_checkpoints(run)]


def test_a_pin_survives_retention_and_is_let_go_by_unpin(run: RunDir) -> None:
    for step in (10, 20, 30, 40):
        save(run, step)
    assert pins.pin(run, 10) == {10}
    assert pins.pin(run, 10) == {10}
    assert retention.retain(run, 1, 20) == [30]
    assert steps(run) == [10, 20, 40]
    assert pins.unpin(run, 10) == frozenset()
    assert retention.retain(run, 1, 20) == [10]
    with pytest.raises(DataError, match="not pinned"):
        pins.unpin(run, 10)
    with pytest.raises(DataError, match="no checkpoint of step 30") as error:
        pins.pin(run, 30)
    assert "20, 40" in error.value.next_step


def test_pins_that_cannot_be_read_keep_everything(run: RunDir) -> None:
    for step in (10, 20, 30):
        save(run, step)
    pins.pin(run, 10)
    for damage in (b"{", b'{"format": 1, "steps": ["10"]}', b"[]", b"\x00" * 50):
        run.pins_file.write_bytes(damage)
        assert pins.read_pins(run) is None
        assert retention.retain(run, 1, None, most_bytes=1) == []
        with pytest.raises(DataError, match="damaged"):
            pins.pin(run, 20)
        assert run.pins_file.read_bytes() == damage
    assert steps(run) == [10, 20, 30]


def test_pins_behind_a_link_or_in_a_pipe_are_not_read(run: RunDir, tmp_path: Path) -> None:
    save(run, 10)
    elsewhere = tmp_path / "pins.json"
    elsewhere.write_text('{"format": 1, "steps": [10]}')
    run.pins_file.symlink_to(elsewhere)
    assert pins.read_pins(run) is None
    run.pins_file.unlink()
    os.mkfifo(run.pins_file)
    assert pins.read_pins(run) is None


def test_two_who_pin_at_once_both_succeed(run: RunDir) -> None:
    for step in range(1, 9):
        save(run, step)
    threads = [threading.Thread(target=pins.pin, args=(run, step)) for step in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pins.read_pins(run) == frozenset(range(1, 9))


def test_a_pin_set_after_the_plan_is_honoured(run: RunDir) -> None:
    for step in (10, 20, 30):
        save(run, step)
    planned = retention.plan(retention.look(run, None), keep=1)
    assert [removal.step for removal in planned] == [10, 20]
    pins.pin(run, 10)
    checkpoints.remove_checkpoint(run, 20)
    assert retention.carry_out(run, planned) == []
    assert steps(run) == [10, 30]


def test_the_cap_takes_the_oldest_and_spares_what_must_stay(run: RunDir) -> None:
    for step in (10, 20, 30, 40, 50):
        save(run, step, 10_000)
    pins.pin(run, 10)
    size = checkpoints.list_checkpoints(run)[0].bytes
    assert size is not None
    assert retention.retain(run, 100, 20, most_bytes=4 * size) == [30]
    assert retention.retain(run, 100, 20, most_bytes=1) == [40]
    assert steps(run) == [10, 20, 50], "the pinned, the best and the newest"


def test_a_checkpoint_replaced_by_a_link_is_never_followed(run: RunDir, tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(run, step)
    victim = tmp_path / "victim"
    run.checkpoint(10).rename(victim)
    run.checkpoint(10).symlink_to(victim)
    before = sorted(path.name for path in victim.iterdir())
    assert retention.retain(run, 1, None) == [20]
    with pytest.raises(DataError):
        pins.pin(run, 10)
    assert sorted(path.name for path in victim.iterdir()) == before
    assert run.checkpoint(10).is_symlink()


def test_a_checkpoint_that_becomes_a_link_between_plan_and_deletion(run: RunDir, tmp_path: Path) -> None:
    for step in (10, 20):
        save(run, step)
    planned = retention.plan(retention.look(run, None), keep=1)
    victim = tmp_path / "victim"
    run.checkpoint(10).rename(victim)
    run.checkpoint(10).symlink_to(victim)
    assert retention.carry_out(run, planned) == []
    assert (victim / "optimizer.pt").exists()


def test_a_link_inside_a_checkpoint_is_removed_and_not_what_it_leads_to(run: RunDir, tmp_path: Path) -> None:
    for step in (10, 20):
        save(run, step)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "words.txt").write_text("years of work")
    (run.checkpoint(10) / "more").symlink_to(thesis)
    assert retention.retain(run, 1, None) == [10]
    assert (thesis / "words.txt").read_text() == "years of work"


def test_a_run_whose_checkpoints_lie_elsewhere_loses_nothing(run: RunDir, tmp_path: Path) -> None:
    for step in (10, 20):
        save(run, step)
    run.checkpoints.rename(tmp_path / "checkpoints")
    run.checkpoints.symlink_to(tmp_path / "checkpoints")
    assert retention.retain(run, 1, None) == []
    with pytest.raises(DataError):
        pins.pin(run, 10)
    assert (tmp_path / "checkpoints" / "step-000010" / "optimizer.pt").exists()


def test_watching_prunes_and_pins_nothing(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (10, 20):
        save(run, step)
    monkeypatch.setenv("BACKPROP_VIEW_ONLY", "1")
    for act in (
        lambda: pins.pin(run, 10),
        lambda: retention.prune(run, retention.plan(retention.look(run, None), keep=1)),
    ):
        with pytest.raises(BackpropError, match="only watches"):
            act()
    assert steps(run) == [10, 20]


INFOS = st.lists(
    st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 100)), st.booleans()),
    unique_by=lambda item: item[0],
    max_size=12,
)


@given(
    INFOS,
    st.one_of(st.none(), st.integers(0, 60)),
    st.one_of(st.none(), st.integers(0, 60)),
    st.sets(st.integers(0, 60), max_size=4),
    st.one_of(st.none(), st.integers(1, 5)),
    st.one_of(st.none(), st.integers(0, 400)),
)
def test_what_must_stay_stays_and_the_rules_hold(
    infos: list[tuple[int, int | None, bool]],
    best: int | None,
    delivered: int | None,
    pinned: set[int],
    keep: int | None,
    most: int | None,
) -> None:
    made = [CheckpointInfo(step, Path("x"), size, "bad" if bad else None) for step, size, bad in sorted(infos)]
    shelf = Shelf(tuple(made), best, frozenset(pinned), delivered)
    removals = retention.plan(shelf, keep=keep, most_bytes=most)
    gone = [removal.step for removal in removals]
    there = {info.step: info for info in made}
    sound = [info.step for info in made if info.problem is None]
    assert gone == sorted(set(gone))
    assert set(gone) <= there.keys()
    assert not set(gone) & ({best, delivered, *pinned} - {None})
    if not sound:
        assert gone == []
        return
    assert max(sound) not in gone
    assert all(step < max(sound) for step in gone)
    left = [step for step in sound if step not in gone]
    if keep is not None:
        assert len([step for step in left if step not in shelf.sacred]) <= keep
    if keep is not None and most is None:
        assert set(sound[-keep:]) <= set(left)
    if most is not None:
        held = sum(info.bytes or 0 for step, info in there.items() if step not in gone)
        movable = [step for step in left if step not in shelf.sacred]
        assert held <= most or not [step for step in movable if step < max(sound)]
    assert retention.plan(Shelf(tuple(i for i in made if i.step not in gone), best, frozenset(pinned), delivered),
                          keep=keep, most_bytes=most) == []  # fmt: skip
