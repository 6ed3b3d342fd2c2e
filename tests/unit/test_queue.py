"""The queue's files and its pure parts: orders, edits by many, damaged files, and who gets which device."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.launch import slots
from backprop_tui.launch.slots import CPU, Wish, machine_gpus, place, wish_of
from backprop_tui.protocol.errors import TryAgainError, UnavailableError, UsageError
from backprop_tui.store.filter import parse_filter
from backprop_tui.store.queue import Queue, QueueState, fresh, place_of
from backprop_tui.store.queue_rows import queue_rows


def filled(*names: str) -> Queue:
    queue = Queue()
    queue.add([fresh(name, {"name": name}) for name in names])
    return queue


def names(queue: Queue) -> list[str]:
    return [entry.name for entry in queue.entries()]


def test_entries_keep_their_order_and_the_front_is_the_front() -> None:
    queue = filled("a", "b")
    queue.add([fresh("c", {}), fresh("d", {})])
    queue.add([fresh("x", {}), fresh("y", {})], first=True)
    assert names(queue) == ["x", "y", "a", "b", "c", "d"]
    file = queue.root / f"{queue.entries()[0].id}.json"
    words = json.loads(file.read_bytes())
    assert words["name"] == "x"
    assert file.stat().st_mode & 0o777 == 0o600


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["up", "down", "first", "last"])), max_size=40))
def test_moves_do_what_a_list_does(moves: list[tuple[int, str]]) -> None:
    queue = Queue()
    for entry in queue.entries():
        queue.remove(entry.id)
    queue.add([fresh(name, {}) for name in "abcde"])
    model = list("abcde")
    for at, where in moves:
        entry = next(entry for entry in queue.entries() if entry.name == model[at])
        to = {"up": at - 1, "down": at + 1, "first": 0, "last": 4}[where]
        name = model.pop(at)
        model.insert(max(0, min(4, to)), name)
        assert queue.move(entry.id, where) == model.index(name) + 1
        assert names(queue) == model


def test_there_is_always_a_place_between_two() -> None:
    queue = filled("a", "b", "c")
    for _ in range(120):
        # Halves of halves: there is no number between after some sixty, and all get new ones.
        queue.move(queue.entries()[2].id, "up")
    assert sorted(names(queue)) == ["a", "b", "c"]
    orders = [entry.order for entry in queue.entries()]
    assert orders == sorted(set(orders))


def test_what_has_begun_is_not_moved_and_what_failed_has_no_place() -> None:
    queue = filled("a", "b", "c")
    a, b, _ = queue.entries()
    with queue.edit():
        queue.put(replace(a, state=QueueState.RUNNING, run="20261123-184705-k3f9"))
        queue.put(replace(b, state=QueueState.FAILED, problem={"code": "X", "cause": "It broke.", "next": ""}))
    for act in (lambda: queue.move(a.id, "last"), lambda: queue.remove(a.id), lambda: queue.hasten(a.id)):
        with pytest.raises(TryAgainError, match="begun") as refused:
            act()
        assert "stop k3f9" in refused.value.next_step
    with pytest.raises(TryAgainError, match="no place"):
        queue.move(b.id, "up")
    assert [place_of(queue.entries(), entry) for entry in queue.entries()] == [None, None, 1]
    assert [(row.title, row.state.value, row.place) for row in queue_rows()] == [
        ("b", "failed", None),
        ("c", "queued", 1),
    ]
    assert queue.hasten(b.id).problem is None
    with pytest.raises(UsageError, match="not in the queue"):
        queue.remove("queue-zzzz")


def test_entries_are_found_by_id_place_and_name() -> None:
    queue = filled("left one", "right one", "right one")
    a, b, _ = queue.entries()
    assert queue.find("left one") == a
    assert queue.find("2") == b
    assert queue.find(b.id) == queue.find(b.short_id) == b
    for wanted, code in (("right one", "QUEUE_AMBIGUOUS"), ("nobody", "QUEUE_UNKNOWN")):
        with pytest.raises(UsageError) as refused:
            queue.find(wanted)
        assert refused.value.code == code


def test_many_who_write_at_once_all_succeed() -> None:
    code = (
        "import sys; from backprop_tui.store.queue import Queue, fresh\n"
        "for n in range(5): Queue().add([fresh(sys.argv[1] + str(n), {})], first=n % 2 == 0)"
    )
    crowd = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "abcd"]
    assert [one.wait(60) for one in crowd] == [0] * 4
    assert sorted(names(Queue())) == sorted(f"{name}{n}" for name in "abcd" for n in range(5))
    orders = [entry.order for entry in Queue().entries()]
    assert len(set(orders)) == 20


def test_damaged_and_foreign_files_are_named_and_passed_over() -> None:
    queue = filled("a", "b")
    good, bad = queue.entries()
    (queue.root / f"{bad.id}.json").write_text('{"id": 1}')
    (queue.root / "queue-0000.json").write_text("[" * 100_000)
    (queue.root / "queue-1111.json").write_text(
        json.dumps({"id": "queue-1111", "order": math.nan, "added": 1, "name": "x", "spec": {}})
    )
    (queue.root / "queue-2222.json").write_bytes((queue.root / f"{good.id}.json").read_bytes())
    assert names(queue) == ["a"]
    assert queue.damaged() == sorted([f"{bad.id}.json", "queue-0000.json", "queue-1111.json", "queue-2222.json"])


def test_all_are_added_or_none() -> None:
    queue = filled("a")

    def refuse(placed: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UnavailableError, match="No space"):
        queue.add([fresh("b", {}), fresh("c", {})], placed=refuse)
    assert names(queue) == ["a"]


def test_who_only_watches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = filled("a", "b")
    entry = queue.entries()[0]
    monkeypatch.setenv("BACKPROP_VIEW_ONLY", "1")
    for act in (
        lambda: queue.add([fresh("c", {})]),
        lambda: queue.move(entry.id, "last"),
        lambda: queue.remove(entry.id),
        lambda: queue.hasten(entry.id),
        lambda: queue.hold(""),
        queue.let_go,
    ):
        with pytest.raises(UnavailableError) as refused:
            act()
        assert refused.value.code == "VIEW_ONLY"
    assert names(queue) == ["a", "b"]


def test_queued_rows_fit_filters() -> None:
    queue = filled("a", "b")
    entry = queue.entries()[0]
    with queue.edit():
        queue.put(replace(entry, sweep={"sweep": "hunt", "trial": 3}))
    fits = lambda text: [row.title for row in queue_rows() if parse_filter(text).matches(row)]  # noqa: E731
    assert fits("state:queued") == ["a", "b"]
    assert fits("sweep:hunt") == ["a"]
    assert fits("trial=3") == ["a"]
    assert fits("is:ended") == []


# -- devices ---------------------------------------------------------------------------------------------------------


def test_a_small_run_does_not_overtake_one_that_waits_for_two() -> None:
    wishes = [Wish("two", (0, 1), 2), Wish("one", (0, 1), 1)]
    assert place(wishes, {1}) == []
    assert place(wishes, {0, 1}) == [("two", (0, 1))]


def test_who_waits_for_one_gpu_does_not_keep_the_others() -> None:
    wishes = [Wish("named", (0,), 1), Wish("any", (0, 1), 1), Wish("more", (0, 1), 1)]
    assert place(wishes, {1}) == [("any", (1,))]
    assert place([Wish("cpu", (CPU,), 1), *wishes], {1, CPU}) == [("cpu", (CPU,)), ("any", (1,))]


def test_now_takes_what_is_free_and_else_what_is_not() -> None:
    assert place([Wish("x", (0, 1), 1, now=True)], {1}) == [("x", (1,))]
    assert place([Wish("x", (0, 1), 2, now=True)], set()) == [("x", (0, 1))]


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 3), min_size=1), st.integers(1, 4)).filter(
            lambda wish: wish[1] <= len(wish[0])
        ),
        max_size=8,
    ),
    st.sets(st.integers(0, 3)),
)
def test_no_device_is_given_twice_and_none_that_is_taken(wanted: list[tuple[set[int], int]], free: set[int]) -> None:
    wishes = [Wish(str(at), tuple(sorted(pool)), count) for at, (pool, count) in enumerate(wanted)]
    begun = place(wishes, free)
    given_out = [device for _, devices in begun for device in devices]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= free
    known = {wish.id: wish for wish in wishes}
    for name, devices in begun:
        assert len(devices) == known[name].count
        assert set(devices) <= set(known[name].pool)
    if wishes and wishes[0].count <= len(free & set(wishes[0].pool)):
        assert begun[0][0] == "0", "the first is served first"


def test_wishes_go_by_the_spec_and_the_machine() -> None:
    entry = fresh("x", {"model": {"device": "auto"}, "devices": {"devices": 1}})
    assert wish_of(entry, ()).pool == (CPU,)
    assert wish_of(entry, (0, 1)) == Wish("", (0, 1), 1)
    assert wish_of(replace(entry, gpus=[1]), (0, 1)) == Wish("", (1,), 1)
    assert wish_of(replace(entry, spec={"devices": {"devices": 0}}), (0, 1, 2)).count == 3
    assert wish_of(replace(entry, spec={"model": {"device": "cpu"}}), (0, 1)).pool == (CPU,)


def test_only_gpus_in_sight_are_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.hardware import gpu
    from tests.support.runs import gpu as reading

    monkeypatch.setattr(gpu, "read_gpus", lambda: ([reading(0), reading(1), reading(2)], None))
    assert machine_gpus({}) == (0, 1, 2)
    assert machine_gpus({"CUDA_VISIBLE_DEVICES": "2, 0"}) == (0, 2)
    assert machine_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert machine_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()
    assert machine_gpus({"CUDA_VISIBLE_DEVICES": "GPU-8f3a"}) == (0,)
    assert slots.named_by_number({"CUDA_VISIBLE_DEVICES": "MIG-1"}) is False
