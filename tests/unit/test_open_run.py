"""Opening a run: the bulk way gives exactly what folding every event gives, from the journal or from remembered columns."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.app.run_model import RunModel
from backprop_tui.protocol import events as ev
from backprop_tui.store import columns, history
from backprop_tui.store.bulk import StretchDecoder
from backprop_tui.store.columns import Columns
from backprop_tui.store.history import History
from backprop_tui.store.journal import JournalTail, read_events
from tests.support.book import Book


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small journals take the ways of large ones: several blocks, columns in files."""
    monkeypatch.setattr(history, "_BLOCK", 20_000)
    monkeypatch.setattr(history, "WORTH_FILES", 50_000)


def plain(file: Path) -> RunModel:
    model = RunModel()
    model.apply(read_events(file))
    return model


def bulk(file: Path, place: Path | None = None) -> tuple[RunModel, JournalTail]:
    model, tail = RunModel(), JournalTail(file)
    past = History(tail, place)
    while (stretch := past.next()) is not None:
        model.apply(stretch)
    past.close()
    return model, tail


def picture(model: RunModel) -> str:
    """Everything that may not differ. JSON tells an int from a float, and its NaN equals itself."""
    curves = {name: [part.tolist() for part in model.series.get(name)] for name in sorted(model.series.names())}
    view = model.view.to_dict()
    # Sums of differences, taken over other neighbours: equal but for the last digits.
    times = {name: round(view.pop(name), 6) for name in ("held_s", "paused_s")}
    words = {
        "view": view,
        "times": times,
        "curves": curves,
        "seams": model.series.seams,
        "recent": {name: list(values) for name, values in model.recent.items()},
        "samples": str(model.samples),
        "sensors": [str(sorted(vars(model.sensors)[name].items())) for name in sorted(vars(model.sensors))],
        "marks": str(model.marks.ordered()),
        "best": model.best,
        "name": model.name,
    }
    return json.dumps(words, sort_keys=True)


def agrees(file: Path, place: Path | None = None) -> JournalTail:
    model, tail = bulk(file, place)
    assert picture(model) == picture(plain(file))
    assert tail.offset == file.stat().st_size
    return tail


def long_run(file: Path) -> Book:
    book = Book(file)
    book.add(ev.RUN, run="x", name="a run", version="0", host="box")
    book.add(ev.ATTEMPT, attempt=1, pid=1, resume_step=None)
    book.add(ev.PLAN, total_steps=2000)
    book.add(ev.STATE, state="running", reason="")
    for part in range(6):
        book.steps(part * 200 + 1, part * 200 + 201)
        book.add(ev.PHASE, phase="eval", status="end", seconds=1.5)
        book.add(ev.EVAL, step=part * 200 + 200, loss=2.0 - part / 10, perplexity=7.0, rows=3, seconds=1.0, best=True)
        book.add(ev.CHECKPOINT, step=part * 200 + 200, path="x", bytes=1, seconds=0.1, reason="schedule", best=True)
    return book


def test_a_long_run_is_the_same_in_bulk(tmp_path: Path) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    book = long_run(file)
    agrees(file)
    agrees(file, place)
    assert Columns.find(place, file) is not None, "remembered"
    agrees(file, place)
    book.steps(1201, 1300)
    agrees(file, place)
    book.steps(1300, 1900)
    agrees(file, place)
    found = Columns.find(place, file)
    assert found is not None
    assert found.offset > file.stat().st_size / 2, "a long rest is remembered too"


def test_the_second_visit_reads_only_what_came_since(tmp_path: Path) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    book = long_run(file)
    bulk(file, place)
    read_to = Columns.find(place, file)
    assert read_to is not None
    book.steps(1201, 1210)

    class Counting(JournalTail):
        taken = 0

        def take(self, limit: int = 1 << 20) -> bytes:
            block = super().take(limit)
            Counting.taken += len(block)
            return block

    tail, model = Counting(file), RunModel()
    past = History(tail, place)
    while (stretch := past.next()) is not None:
        model.apply(stretch)
    assert picture(model) == picture(plain(file))
    assert Counting.taken == file.stat().st_size - read_to.offset


def test_repeated_steps_supersede_wherever_the_blocks_end(tmp_path: Path) -> None:
    """Resumed attempts go back within a block, across blocks, into rows that are in files already, and to the start."""
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    book = long_run(file)
    for at in (1150, 1190, 700, 1, 2):
        book.add(ev.ATTEMPT, attempt=2, pid=1, resume_step=at - 1 or None)
        book.steps(at, at + 30, loss=float(at))
        book.add(ev.EVAL, step=at + 29, loss=9.0, perplexity=None, rows=3, seconds=1.0, best=False)
        agrees(file)
    book.steps(32, 900)
    agrees(file, place)
    agrees(file, place)
    book.add(ev.ATTEMPT, attempt=3, pid=1, resume_step=400)
    book.steps(401, 420)
    agrees(file, place)
    book.steps(300, 1000)
    agrees(file, place)


def test_what_was_handed_out_does_not_change(tmp_path: Path) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    book = long_run(file)
    model, tail = bulk(file, place)
    steps, loss = model.series.get("loss")
    before = loss.tolist()
    cuts = model.series.cuts
    book.steps(500, 700, loss=77.0)
    past = History(tail, None)
    while (stretch := past.next()) is not None:
        model.apply(stretch)
    assert loss.tolist() == before
    assert len(steps) == 1200
    assert model.series.cuts > cuts, "who works from the curves is told"
    assert picture(model) == picture(plain(file))


odd_values = st.sampled_from([1, 2.5, "nan", "inf", "-inf", None, True, "7", [1], {"a": 1}, 1e308, 10**30, -0.0])


@settings(max_examples=60, deadline=None)
@given(
    odd=st.lists(
        st.tuples(st.integers(1, 399), st.sampled_from(["loss", "lr", "extra", "tokens", "note"]), odd_values)
    ),
    gone=st.lists(st.tuples(st.integers(1, 399), st.sampled_from(["loss", "step_s", "step"]))),
    flips=st.lists(st.floats(0, 0.999), max_size=3),
    backwards=st.integers(0, 300),
)
def test_odd_steps_and_damage_are_the_same_in_bulk(
    tmp_path_factory: pytest.TempPathFactory, odd: list[Any], gone: list[Any], flips: list[float], backwards: int
) -> None:
    """Whatever the values, whatever a damaged line took with it, both ways show the same run."""
    folder = tmp_path_factory.mktemp("odd")
    file, place = folder / "events.jsonl", folder / "columns" / "r"
    book = Book(file)
    changes = {step: {name: value} for step, name, value in odd}
    lost = dict(gone)
    for step in [*range(1, 400), *range(400 - backwards, 420)]:
        data = {"step": step, "loss": float(step), "lr": 0.1, "tokens": step, "step_s": 0.5, **changes.get(step, {})}
        data.pop(lost.get(step, ""), None)
        book.add(ev.STEP, **data)
        if step % 50 == 0:
            book.add("from_the_future", step=step)
            book.add(ev.LOG, level="info", source="worker", message='","crc":"00000000"}\n\ud800')
    raw = bytearray(file.read_bytes())
    for flip in flips:
        raw[int(flip * len(raw))] ^= 0x20
    file.write_bytes(raw)
    expected = picture(plain(file))
    for _ in range(2):
        model, tail = bulk(file, place)
        assert picture(model) == expected
    counted = JournalTail(file)
    while counted.poll():
        pass
    assert tail.damaged == counted.damaged


@pytest.mark.parametrize("hurt", ["flip", "short", "long", "head", "format", "missing", "other-journal", "cut-journal"])
def test_columns_in_doubt_are_not_shown(tmp_path: Path, hurt: str) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    long_run(file)
    bulk(file, place)
    head = place / "head.json"
    words = json.loads(head.read_bytes())
    for name in ("loss", "step", "digest.jsonl"):
        target = place / words["files"][name][0]
        whole = target.read_bytes()
        if hurt == "flip":
            target.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
        elif hurt == "short":
            os.truncate(target, len(whole) - 8)
        elif hurt == "long":
            target.write_bytes(whole + bytes(8))
        elif hurt == "missing":
            target.unlink()
        elif hurt == "head":
            head.write_bytes(head.read_bytes()[: 40 + len(name)])
        elif hurt == "format":
            head.write_text(json.dumps({**words, "format": columns.FORMAT + 1}))
        elif hurt == "other-journal":
            shutil.copytree(place, tmp_path / "kept", dirs_exist_ok=True)
            file.unlink()
            long_run(file)
            other = file.read_bytes().replace(b"a run", name[:1].encode() + b" run", 1)
            file.write_bytes(other)
        else:
            lines = file.read_bytes().split(b"\n")
            file.write_bytes(b"\n".join(lines[: len(lines) // 2]) + b"\n")
        assert Columns.find(place, file) is None
        agrees(file, place)
        agrees(file, place)
        if Columns.find(place, file) is None:
            assert hurt == "cut-journal", "built anew"
            return
        words = json.loads(head.read_bytes())


def test_a_column_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    long_run(file)
    bulk(file, place)
    model, _ = bulk(file, place)
    table = model.series._table
    assert set(table._loaded) == set()
    model.series.get("loss")
    assert set(table._loaded) == {"step", "loss"}


def test_no_room_for_columns(tmp_path: Path) -> None:
    """A cache that can't be written costs speed and nothing else."""
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    long_run(file)
    place.parent.write_bytes(b"in the way")
    agrees(file, place)


def test_a_disk_that_fills_while_columns_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    book = long_run(file)
    book.steps(600, 800)
    book.steps(801, 1300)
    for allowed in (0, 3, 11, 14, 40, 61, 70):
        real, left = os.write, [allowed]

        def write(fd: int, data: Any, real: Any = real, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return int(real(fd, data))

        with monkeypatch.context() as patch:
            patch.setattr("backprop_tui.store.columns.os.write", write)
            agrees(file, place)
        assert not place.exists()
        assert not list(place.parent.iterdir()), "nothing half-written stays"


def test_leaving_while_columns_are_written_leaves_nothing(tmp_path: Path) -> None:
    file, place = tmp_path / "events.jsonl", tmp_path / "columns" / "r"
    long_run(file)
    past = History(JournalTail(file), place)
    for _ in range(3):
        assert past.next() is not None
    assert list(place.parent.iterdir())
    past.close()
    assert list(place.parent.iterdir()) == []


def test_old_columns_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_BYTES", 200_000)
    for name in ("one", "two", "three", "four"):
        file, place = tmp_path / f"{name}.jsonl", tmp_path / "columns" / name
        long_run(file)
        bulk(file, place)
        os.utime(place, (len(name) * 1000.0, len(name) * 1000.0))
        assert place.exists(), "never the one just written"
    assert len(list((tmp_path / "columns").iterdir())) < 4


def test_ordinary_lines_take_the_quick_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines our host writes never fall back to the general path, NaN and a metric that comes late included."""
    file = tmp_path / "events.jsonl"
    book = long_run(file)
    book.steps(1201, 1230, loss=float("nan"))
    book.steps(1230, 1260, kl=0.5)
    monkeypatch.setattr(StretchDecoder, "_one_by_one", None)
    random.seed(1)
    model, _ = bulk(file)
    assert model.series.get("kl")[0].tolist() == list(range(1230, 1260))
    assert len(model.series.get("loss")[0]) == 1259
