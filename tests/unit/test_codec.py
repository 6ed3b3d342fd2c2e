from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import (
    MAX_FRAME,
    FrameReader,
    decode_line,
    encode_frame,
    encode_line,
    finite,
    number,
)
from backprop_tui.protocol.commands import Command
from backprop_tui.protocol.errors import ProtocolError, UsageError
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.view import RunView
from backprop_tui.store.series import SeriesStore

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
records = st.dictionaries(st.text(), values, max_size=6)


@given(records)
def test_a_line_comes_back_as_it_was(record: dict[str, Any]) -> None:
    line = encode_line(record)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    back = decode_line(line)
    if record:
        assert back is not None
        assert {key: back[key] for key in record} == finite(record)


@given(records, st.data())
def test_a_changed_line_is_noticed(record: dict[str, Any], data: st.DataObject) -> None:
    line = bytearray(encode_line({"seq": 1, **record}))
    at = data.draw(st.integers(0, len(line) - 20))
    line[at] ^= data.draw(st.integers(1, 255))
    assert decode_line(bytes(line)) is None


@given(st.binary())
def test_no_bytes_make_the_readers_fall(noise: bytes) -> None:
    decode_line(noise)
    reader = FrameReader()
    try:
        assert all(isinstance(message, dict) for message in reader.feed(noise))
    except ProtocolError:
        pass


@given(st.lists(records, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_frames_survive_any_cutting(messages: list[dict[str, Any]], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(message) for message in messages)
    reader, found, place = FrameReader(), [], 0
    while place < len(stream):
        size = cuts[place % len(cuts)]
        found += reader.feed(stream[place : place + size])
        place += size
    assert found == [finite(message) for message in messages]


def test_too_large_to_send_and_too_large_to_take() -> None:
    with pytest.raises(ProtocolError, match="FRAME_TOO_LARGE"):
        encode_frame({"pad": "x" * MAX_FRAME})
    with pytest.raises(ProtocolError, match="FRAME_TOO_LARGE"):
        FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("body", "code"), [(b"{oops", "FRAME_NOT_JSON"), (b"[" * 100_000, "FRAME_NOT_JSON"), (b"[1]", "FRAME_NOT_OBJECT")]
)
def test_what_is_no_message_is_told_by_name(body: bytes, code: str) -> None:
    with pytest.raises(ProtocolError, match=code):
        FrameReader().feed(len(body).to_bytes(4, "big") + body)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"name": "dance", "id": "a"}, "COMMAND_UNKNOWN"),
        ({"name": "pause"}, "COMMAND_INVALID"),
        ({"name": "pause", "id": "a" * 65}, "COMMAND_INVALID"),
        ({"name": "pause", "id": "a", "args": []}, "COMMAND_INVALID"),
        ({"name": "set", "id": "a"}, "LEARNING_RATE_INVALID"),
        ({"name": "resume", "id": "a", "args": {"lr_factor": 2}}, "LR_FACTOR_INVALID"),
        ({"name": "resume", "id": "a", "args": {"lr_factor": True}}, "LR_FACTOR_INVALID"),
    ],
)
def test_a_command_that_means_nothing_is_told_by_name(words: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError, match=code):
        Command.from_message(words)


def test_numbers_that_json_lacks() -> None:
    words = json.loads(encode_line({"a": math.nan, "b": [math.inf, {"c": -math.inf}]}))
    assert (words["a"], words["b"]) == ("nan", ["inf", {"c": "-inf"}])
    assert math.isnan(number("nan") or 0.0)
    assert number("inf") == math.inf
    assert [number(value) for value in (None, True, "7", [], 2)] == [None, None, None, None, 2.0]


KINDS = [value for name, value in vars(ev).items() if name.isupper() and isinstance(value, str)]


@given(
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(["step", "loss", "attempt", "resume_step", "phase"]), values),
)
def test_a_foreign_journal_cannot_break_a_screen(kind: str, data: dict[str, Any]) -> None:
    """Payloads of any shape leave the view and the curves standing."""
    event = Event.from_record({"seq": 1, "wall": 0, "mono": 0, "attempt": 0, "kind": kind, "data": finite(data)})
    assert event is not None
    RunView().apply([event])
    store = SeriesStore()
    store.add([event, event])
    assert all(len(store.get(name)[0]) == len(store.get(name)[1]) for name in store.names())


@pytest.mark.parametrize("seq", [None, "x", math.inf, math.nan, [], {}])
def test_a_record_without_sense_is_no_event(seq: Any) -> None:
    record = {"seq": seq, "wall": 0, "mono": 0, "attempt": 0, "kind": "step", "data": {}}
    assert Event.from_record(record) is None
