from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.store.journal import JournalTail, JournalWriter, newest_events, read_events
from tests.support.disk import no_room


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def fill(file: Path, count: int) -> None:
    writer = JournalWriter(file)
    for step in range(1, count + 1):
        writer.append(ev.STEP, {"step": step, "loss": 1.0 / step, "note": "\u202e\x1b]0;x\x07"}, attempt=1)
    writer.close()


def seqs(file: Path, **kwargs: object) -> list[int]:
    return [event.seq for event in read_events(file, **kwargs)]  # type: ignore[arg-type]


def test_lines_are_plain_ascii_json_and_come_back(file: Path) -> None:
    writer = JournalWriter(file)
    sent = writer.append(ev.STEP, {"step": 1, "loss": float("nan"), "text": "é\x1b[31m"}, attempt=2)
    writer.close()
    raw = file.read_bytes()
    assert raw.isascii()
    assert b"\x1b" not in raw
    assert json.loads(raw)["data"]["loss"] == "nan"
    (back,) = read_events(file)
    assert (back.seq, back.attempt, back.kind, back.data["text"]) == (sent.seq, 2, ev.STEP, "é\x1b[31m")
    assert file.stat().st_mode & 0o077 == 0


def test_a_second_writer_goes_on_where_the_first_stopped(file: Path) -> None:
    fill(file, 3)
    fill(file, 2)
    assert seqs(file) == [1, 2, 3, 4, 5]
    assert seqs(file, after=3) == [4, 5]


def test_torn_at_every_byte(file: Path) -> None:
    """Whatever the cut, earlier events stay, the tail is closed by a repair event, and no number is used twice."""
    fill(file, 4)
    whole = file.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 0x0A]
    for cut in range(len(whole) + 1):
        file.write_bytes(whole[:cut])
        complete = sum(1 for end in ends if end <= cut)
        assert seqs(file) == list(range(1, complete + 1))
        writer = JournalWriter(file)
        writer.append(ev.LOG, {"message": "after"}, attempt=2)
        writer.close()
        events = list(read_events(file))
        numbers = [event.seq for event in events]
        assert numbers == sorted(set(numbers))
        assert numbers[:complete] == list(range(1, complete + 1))
        torn = cut - (ends[complete - 1] if complete else 0)
        repairs = [event.data["bytes"] for event in events if event.kind == ev.REPAIR]
        assert repairs == ([torn] if torn else [])
        assert events[-1].data == {"message": "after"}


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 0.999999), flip=st.integers(1, 255))
def test_a_flipped_byte_costs_only_its_own_lines(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    file = tmp_path_factory.mktemp("flip") / "events.jsonl"
    fill(file, 6)
    raw = bytearray(file.read_bytes())
    at = int(place * len(raw))
    raw[at] ^= flip
    file.write_bytes(raw)
    lost = {raw[:at].count(b"\n") + 1}
    if flip and file.read_bytes().count(b"\n") != 6:
        # The newline itself went or came: the neighbouring line goes with it.
        lost.add(min(lost) + 1)
    tail = JournalTail(file)
    found = []
    while batch := tail.poll():
        found += [event.seq for event in batch]
    assert set(range(1, 7)) - set(found) <= lost
    assert found == sorted(found)
    assert tail.damaged or set(found) >= set(range(1, 6))


def test_nul_block_in_the_middle(file: Path) -> None:
    """What a power loss leaves in some file systems."""
    fill(file, 50)
    raw = bytearray(file.read_bytes())
    raw[1000:2000] = bytes(1000)
    file.write_bytes(raw)
    tail = JournalTail(file)
    found = [event.seq for event in tail.poll()]
    assert found[0] == 1
    assert found[-1] == 50
    assert tail.damaged >= 1


def test_tail_waits_for_the_end_of_a_line(file: Path) -> None:
    tail = JournalTail(file)
    assert tail.poll() == []
    fill(file, 2)
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    file.write_bytes(whole[: first + 10])
    assert [event.seq for event in tail.poll()] == [1]
    assert tail.poll() == []
    with file.open("ab") as out:
        out.write(whole[first + 10 :])
    assert [event.seq for event in tail.poll()] == [2]
    assert tail.damaged == 0
    tail.close()


def test_tail_reads_in_bounded_pieces(file: Path) -> None:
    fill(file, 200)
    tail = JournalTail(file)
    pieces = []
    while batch := tail.poll(limit=1000):
        pieces.append(len(batch))
    assert sum(pieces) == 200
    assert max(pieces) < 20
    tail.close()


def test_kinds_are_narrowed(file: Path) -> None:
    writer = JournalWriter(file)
    for kind in (ev.RUN, ev.STEP, ev.COMMAND, ev.STEP, ev.END):
        writer.append(kind, {"kind": ev.RUN}, attempt=1)
    writer.close()
    assert [event.kind for event in read_events(file, kinds={ev.COMMAND, ev.END})] == [ev.COMMAND, ev.END]


def test_acknowledged_events_survive_sigkill(file: Path) -> None:
    """Numbers are printed after `append` returned; each of them must be in the file after SIGKILL."""
    script = (
        "import os,sys\nfrom pathlib import Path\nfrom backprop_tui.store.journal import JournalWriter\n"
        "writer = JournalWriter(Path(sys.argv[1]))\n"
        "while True: os.write(1, b'%d\\n' % writer.append('step', {'pad': 'x' * 300}, attempt=1).seq)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(500)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout if line.endswith(b"\n")]
    assert set(acknowledged) <= set(seqs(file))


def test_full_disk_keeps_every_line_whole(file: Path) -> None:
    """A short write (the file size limit cuts it) is taken back; the journal goes on when there is room again."""
    writer = JournalWriter(file)
    writer.append(ev.STEP, {"step": 1}, attempt=1)
    size = file.stat().st_size
    with no_room(size + 50), pytest.raises(BackpropError) as failure:
        writer.append(ev.STEP, {"step": 2, "pad": "x" * 500}, attempt=1)
    assert failure.value.code == "DISK_FULL"
    assert file.stat().st_size == size
    assert writer.append(ev.STEP, {"step": 2}, attempt=1).seq == 2
    writer.close()
    assert seqs(file) == [1, 2]
    assert not os.listdir(file.parent)[1:], "the reserve goes with the writer"


def test_whole_lines_are_taken_as_they_are(file: Path) -> None:
    fill(file, 50)
    whole = file.read_bytes()
    tail = JournalTail(file)
    assert tail.left == len(whole)
    taken = b""
    while block := tail.take(1000):
        assert block.endswith(b"\n")
        taken += block
        assert tail.left == len(whole) - len(taken)
    assert taken == whole
    with file.open("ab") as out:
        out.write(b'{"half')
    assert tail.take() == b""
    tail.skip_to(50)
    assert tail.poll() == []
    tail.close()


def test_the_newest_events_are_read_without_the_others(file: Path) -> None:
    assert newest_events(file) == []
    fill(file, 500)
    with file.open("ab") as out:
        out.write(b'{"torn')
    found = [event.seq for event in newest_events(file, 2000)]
    assert found[-1] == 500
    assert 3 < len(found) < 30
    assert found == list(range(found[0], 501))
    assert len(newest_events(file, 1 << 20)) == 500


def test_a_record_that_can_not_be_written_is_told_by_name(file: Path) -> None:
    file.mkdir()
    with pytest.raises(BackpropError, match="JOURNAL_NOT_WRITABLE"):
        JournalWriter(file).append(ev.STEP, {"step": 1}, attempt=1)
