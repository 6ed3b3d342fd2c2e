"""The log on the disk: the index agrees with a plain reading of the files, however they grew and whatever they hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.app.narrate import tell
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import encode_line
from backprop_tui.protocol.events import Event
from backprop_tui.store import logs
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir
from backprop_tui.store.log_lines import LEVELS, SOURCES, raw_text
from backprop_tui.store.log_search import LogSearch
from backprop_tui.store.log_slice import LogLines
from backprop_tui.store.logs import LogBook
from tests.support.runs import HOSTILE, FakeRun

TEXT = st.text(st.sampled_from("aB3é\u202e\t\r\x1b[ \\K"), max_size=12)
EVENTS = st.one_of(
    st.tuples(st.just(ev.STEP), st.sampled_from([1.0, "nan", 2.5])),
    st.tuples(st.just(ev.LOG), st.sampled_from(LEVELS), TEXT),
    st.tuples(st.just(ev.STATE), st.just("running")),
    st.tuples(st.just(ev.TELEMETRY), st.none()),
    st.tuples(st.just("worker.log"), st.sampled_from(["", "WARNING ", "ValueError: ", "DEBUG "]), TEXT),
    st.tuples(st.just("garbage"), TEXT),
)


def write(run: RunDir, script: list[tuple[object, ...]], *, start: int = 0, gap: float = 2.0) -> None:
    """Lines of all three files, the telling of the raw ones' lengths included."""
    with run.journal_file.open("ab") as journal, run.worker_log.open("ab") as worker:
        for number, (kind, *rest) in enumerate(script, start=start + 1):
            wall = 1_700_000_000.0 + number * gap
            data: dict[str, object]
            if kind == "worker.log":
                worker.write("".join(map(str, rest)).replace("\n", " ").encode() + b"\n")
                worker.flush()
                continue
            if kind == "garbage":
                journal.write(str(rest[0]).replace("\n", " ").encode() + b"x\n")
                continue
            if kind == ev.STEP:
                data = {"step": number, "loss": rest[0]}
            elif kind == ev.LOG:
                data = {"level": rest[0], "source": "host", "message": rest[1]}
            elif kind == ev.TELEMETRY:
                data = {"gpus": [], "logs": {"worker": os.path.getsize(run.worker_log), "host": 0}}
            else:
                data = {"state": rest[0], "reason": ""}
            journal.write(encode_line(Event(number, wall, float(number), 1, str(kind), data).to_record()))


def book_of(run: RunDir, **words: int) -> LogBook:
    book = LogBook(run, tell, **words)
    book.extend()
    return book


def plain_reading(run: RunDir) -> list[str]:
    """What of the journal is told, the slow way: every step that is odd, and others when none was told for five seconds."""
    said, found = float("-inf"), []
    for event in read_events(run.journal_file):
        if event.kind == ev.STEP:
            if event.data["loss"] != "nan" and event.wall - said < 5.0:
                continue
            said = event.wall
        told = tell(event)
        if told is not None:
            found.append(told[1])
    return found


def everything(book: LogBook, level: str = "debug", sources: tuple[str, ...] = SOURCES) -> list[tuple[str, str, str]]:
    lines = LogLines(book, level, sources)
    return [(row.source, row.level, row.text) for row in lines.rows(0, len(lines))]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@settings(max_examples=150, deadline=None)
@given(
    script=st.lists(EVENTS, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    piece=st.sampled_from([64, 300, 65536]),
)
def test_however_the_files_grew_the_lines_are_those_of_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[object, ...]], cuts: list[int], piece: int
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    before, logs.PIECE = logs.PIECE, piece
    try:
        book = LogBook(run, tell)
        at = 0
        for cut in [*sorted(cuts), len(script)]:
            write(run, script[at:cut], start=at)
            at = max(at, cut)
            book.extend()
            seen = everything(book)
        told = plain_reading(run)
        damaged = sum(kind == "garbage" for kind, *_ in script)
        in_journal = [text for source, _, text in seen if source == "journal"]
        assert [text for text in in_journal if "damaged line" not in text] == told
        assert len(in_journal) - len(told) == damaged == book.damaged
        raw = run.worker_log.read_bytes().decode().removesuffix("\n").split("\n") if run.worker_log.exists() else []
        raw = [] if raw == [""] and not os.path.getsize(run.worker_log) else raw
        assert [text for source, _, text in seen if source == "worker"] == [raw_text(line.encode()) for line in raw]
        # Narrowed by level and source, and read in any window, it is the same sequence.
        for level in LEVELS:
            for sources in (SOURCES, ("journal",), ("worker",)):
                wanted = [row for row in seen if row[0] in sources and LEVELS.index(row[1]) >= LEVELS.index(level)]
                lines = LogLines(book, level, sources)
                assert len(lines) == len(wanted)
                for first in range(0, len(wanted) + 1, 3):
                    got = [(row.source, row.level, row.text) for row in lines.rows(first, 4)]
                    assert got == wanted[first : first + 4]
    finally:
        logs.PIECE = before


@settings(max_examples=150, deadline=None)
@given(
    script=st.lists(EVENTS, max_size=40),
    query=st.text(st.sampled_from("ab3é\\u0e2step=,. "), min_size=1, max_size=4),
    level=st.sampled_from(LEVELS),
)
def test_a_search_finds_exactly_the_lines_that_show_the_text(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[object, ...]], query: str, level: str
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    before, logs.PIECE = logs.PIECE, 128
    try:
        write(run, script)
        book = book_of(run)
        lines = LogLines(book, level)
        rows = lines.rows(0, len(lines))
        wanted = [number for number, row in enumerate(rows) if query.lower() in row.text.lower()]
        search = LogSearch(lines, query)
        for line in range(len(rows)):
            assert search.find(line, 1) == next((hit for hit in wanted if hit >= line), None)
            assert search.find(line, -1) == next((hit for hit in reversed(wanted) if hit <= line), None)
        search.count()
        assert search.done
        assert search.hits == len(wanted)
    finally:
        logs.PIECE = before


def test_ordinary_steps_are_told_now_and_then_and_odd_ones_always(run: RunDir) -> None:
    script: list[tuple[object, ...]] = [(ev.STEP, 1.0)] * 6 + [(ev.STEP, "nan")] * 2 + [(ev.STEP, 1.0)] * 4
    write(run, script, gap=2.0)
    assert [row.step for row in LogLines(book_of(run)).rows(0, 99)] == [1, 4, 7, 8, 11]
    assert [row.step for row in LogLines(book_of(run), "warn").rows(0, 99)] == [7, 8]


def test_raw_lines_lie_between_the_events_they_were_written_between(run: RunDir) -> None:
    write(
        run,
        [
            (ev.LOG, "info", "one"), ("worker.log", "", "after one"), (ev.TELEMETRY, None), (ev.LOG, "info", "two"),
            ("worker.log", "", "after two"), (ev.TELEMETRY, None), (ev.LOG, "info", "three"), ("worker.log", "", "last"),
        ],
    )  # fmt: skip
    book = book_of(run)
    assert [text for _, _, text in everything(book)] == ["one", "after one", "two", "after two", "three", "last"]
    rows = LogLines(book).rows(0, 9)
    assert [row.timed for row in rows] == [True, False, True, False, True, False]
    assert rows[1].wall is not None
    assert rows[0].wall is not None
    assert rows[1].wall >= rows[0].wall


def test_a_number_once_given_to_a_line_stays(run: RunDir) -> None:
    write(run, [(ev.LOG, "info", "one"), ("worker.log", "", "raw one")])
    book = book_of(run)
    before = everything(book)
    # A reading taken later tells of raw lines that were already placed.
    write(run, [("worker.log", "", "raw two"), (ev.TELEMETRY, None), (ev.LOG, "info", "two")], start=5)
    book.extend()
    assert everything(book)[: len(before)] == before
    assert [text for _, _, text in everything(book)] == ["one", "raw one", "raw two", "two"]


def test_places_are_found_by_step_event_and_time(run: RunDir) -> None:
    write(run, [(ev.STEP, 1.0)] * 400, gap=5.0)
    lines = LogLines(book_of(run))
    found = lines.of_step(123)
    assert found is not None
    row = lines.rows(found, 1)[0]
    assert row.step == 123
    assert row.wall is not None
    assert lines.of_wall(row.wall) == found
    assert lines.of_seq(row.seq) == found
    assert lines.of_step(401) is None
    assert lines.of_seq(9999) == len(lines)


def test_a_step_of_two_attempts_is_the_later_ones() -> None:
    fake = FakeRun().begin(total=50).train(20).save()
    fake.begin(total=50, resume=10).train(15, loss="nan")
    lines = LogLines(book_of(fake.run))
    found = lines.of_step(18)
    assert found is not None
    row = lines.rows(found, 1)[0]
    assert row.step == 18
    assert row.event is not None
    assert row.event.attempt == 2
    fake.let_go()


def test_a_progress_bar_shows_its_last_state_and_a_line_without_an_end_is_no_line_yet(run: RunDir) -> None:
    run.worker_log.write_bytes(b" 10%|#  \r 20%|## \r100%|###\nnext\r 5%|# \r 7%|#\x1b[A")
    book = book_of(run)
    assert [text for _, _, text in everything(book)] == ["100%|###"]
    assert book.unfinished() == " 7%|#"
    with run.worker_log.open("ab") as file:
        file.write(b"\r 9%|#\n")
    book.extend()
    assert [text for _, _, text in everything(book)] == ["100%|###", " 9%|#"]
    assert book.unfinished() == ""


def test_nothing_of_a_raw_line_acts_on_the_terminal() -> None:
    shown = raw_text(HOSTILE.encode("utf-8", "surrogatepass") + b"\xff\x9b2J \x00 \x1b[31mred\x1b[0m")
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in shown)
    assert "[/INST]" in shown
    assert "red" in shown


def test_an_endless_line_is_cut_into_lines(run: RunDir) -> None:
    run.worker_log.write_bytes(b"x" * 700_000 + b"\nend\n")
    shown = everything(book_of(run))
    assert shown[-1][2] == "end"
    assert 2 <= len(shown) <= 6


def test_a_file_cut_meanwhile_keeps_its_numbers_and_says_so(run: RunDir) -> None:
    run.worker_log.write_bytes(b"one\ntwo\nthree\n")
    book = book_of(run)
    os.truncate(run.worker_log, 4)
    assert [text for _, _, text in everything(book)] == [
        "one",
        "this part of the file is gone",
        "this part of the file is gone",
    ]


def test_only_the_end_is_read_when_only_the_end_is_wanted(run: RunDir) -> None:
    script: list[tuple[object, ...]] = []
    for number in range(3000):
        script += [(ev.LOG, "info", f"line {number}"), ("worker.log", "", f"raw {number}")]
        if number % 10 == 9:
            script.append((ev.TELEMETRY, None))
    write(run, script)
    near = book_of(run, near_end=20_000)
    assert near.start[0] > 0
    whole = [text for _, _, text in everything(book_of(run))]
    shown = [text for _, _, text in everything(near)]
    assert shown[-100:] == whole[-100:]
    assert len(shown) < len(whole) / 4


def test_of_a_short_record_beside_a_long_raw_log_only_the_raw_logs_end_is_read(run: RunDir) -> None:
    write(run, [(ev.LOG, "info", "one"), (ev.TELEMETRY, None), (ev.LOG, "info", "two")])
    run.worker_log.write_bytes(b"".join(b"raw %d\n" % number for number in range(100_000)))
    shown = [text for _, _, text in everything(book_of(run, near_end=5_000))]
    assert shown[:2] == ["one", "two"]
    assert shown[-1] == "raw 99999"
    assert len(shown) < 1000


def test_no_files_are_no_lines(run: RunDir) -> None:
    book = book_of(run, near_end=1000)
    assert len(LogLines(book)) == 0
    assert LogLines(book).rows(0, 10) == []
    assert LogSearch(LogLines(book), "x").find(0, 1) is None
    assert book.unfinished() == ""
