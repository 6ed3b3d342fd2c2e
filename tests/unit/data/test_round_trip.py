"""For every format: what is written is read back as the very same rows, or was refused by name."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.data.formats import Conversation, Normalised, PromptOnly, purpose_of, read_row
from backprop_tui.data.sources import read_rows
from backprop_tui.data.writers import Target, write_rows
from backprop_tui.protocol.errors import DataError
from tests.support import rows as drawn

FORMAT_OF = {"native": "messages", "text": "text"}
ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
_some = settings(max_examples=60, deadline=None)


def through_a_file(
    rows: Sequence[Normalised], target: Target, ending: str, format: str
) -> tuple[list[Normalised], dict[str, int]]:
    """The rows that a file of this kind gives back, and what was skipped."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"rows{ending}"
        try:
            written = write_rows(rows, out, target)
        except DataError as error:
            if error.code != "DATA_NOTHING_WRITTEN" or list(Path(folder).iterdir()):
                raise
            return [], error.detail["skipped"]
        assert written.bytes == out.stat().st_size
        found = list(read_rows(out))
        assert [row.problem for row in found] == [None] * written.rows
        assert written.rows + sum(written.skipped.values()) == len(rows)
        return [read_row(row.value, format)[1] for row in found], written.skipped


def told_apart(row: Conversation) -> set[str]:
    """What a plain format may refuse the row for."""
    reasons = set()
    if row.tools:
        reasons.add("tools")
    for turn in row.messages:
        if turn.tool_calls or turn.tool_call_id:
            reasons.add("tool calls")
        if turn.reasoning:
            reasons.add("separate reasoning")
        if turn.name:
            reasons.add("names of turns")
    return reasons


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("target", ["messages", "native", "sharegpt", "prompt-completion"])
@given(rows=st.lists(drawn.conversations(), min_size=1, max_size=4))
@_some
def test_formats_of_turns_hold_every_conversation(target: Target, ending: str, rows: list[Conversation]) -> None:
    back, skipped = through_a_file(rows, target, ending, FORMAT_OF.get(target, target))
    assert skipped == {}
    assert back == rows


@pytest.mark.parametrize("ending", [*ENDINGS, ".csv", ".csv.gz"])
@pytest.mark.parametrize("target", ["alpaca", "prompt-completion", "chatml"])
@given(rows=st.lists(drawn.plain_conversations(), min_size=1, max_size=4))
@_some
def test_plain_formats_hold_plain_conversations(target: Target, ending: str, rows: list[Conversation]) -> None:
    flat = ending.startswith(".csv")

    def fits(row: Conversation) -> bool:
        texts = "".join(turn.content for turn in row.messages)
        if target == "chatml" and ("<|im_start|>" in texts or "<|im_end|>" in texts):
            return False
        if flat and ("\r" in texts or "\x00" in texts):
            return False
        return not (flat and target != "chatml") or sum(turn.role == "user" for turn in row.messages) == 1

    back, skipped = through_a_file(rows, target, ending, target)
    assert back == [row for row in rows if fits(row)]
    assert sum(skipped.values()) == sum(not fits(row) for row in rows)


@pytest.mark.parametrize("target", ["alpaca", "chatml"])
@given(rows=st.lists(drawn.conversations(), min_size=1, max_size=4))
@_some
def test_what_a_plain_format_can_not_hold_is_refused_by_name(target: Target, rows: list[Conversation]) -> None:
    back, skipped = through_a_file(rows, target, ".jsonl", target)
    kept = iter(rows)
    # What comes back is some of the rows, in order, each unchanged.
    assert all(any(row == other for other in kept) for row in back)
    allowed = set().union(*map(told_apart, rows)) | {"turn order", "control tokens in text"}
    assert set(skipped) <= allowed


@pytest.mark.parametrize("ending", [*ENDINGS, ".csv"])
@given(rows=st.lists(drawn.plain_texts, min_size=1, max_size=4))
@_some
def test_plain_text_stays_the_same(ending: str, rows: list[Normalised]) -> None:
    back, skipped = through_a_file(rows, "text", ending, "text")
    lost = Counter("x" for row in rows if ending == ".csv" and set("\r\x00") & set(row.text))  # type: ignore[union-attr]
    assert len(rows) - len(back) == sum(skipped.values()) == sum(lost.values())
    assert back == [row for row in rows if row in back]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["preference", "unpaired"])
@given(data=st.data())
@_some
def test_pairs_and_labels_keep_their_kind(kind: str, ending: str, data: st.DataObject) -> None:
    strategy: Any = drawn.preferences() if kind == "preference" else drawn.unpaired
    rows = data.draw(st.lists(strategy, min_size=1, max_size=3))
    back, skipped = through_a_file(rows, "native", ending, kind)
    assert (back, skipped) == (rows, {})
    assert set(map(purpose_of, back)) == {kind}


@given(rows=st.lists(drawn.prompts, min_size=1, max_size=3))
@_some
def test_bare_prompts_keep_their_columns(rows: list[Normalised]) -> None:
    assert through_a_file(rows, "native", ".jsonl", "prompt") == (rows, {})


@given(rows=st.lists(drawn.prompts, min_size=1, max_size=3))
@_some
def test_columns_of_prompts_in_parquet_are_text_or_refused(rows: list[PromptOnly]) -> None:
    back, skipped = through_a_file(rows, "native", ".parquet", "prompt")
    kept = iter(rows)
    assert all(any(row == other for other in kept) for row in back)
    assert set(skipped) <= {"columns that are not text", "other kind of row in one table"}


@given(
    rows=st.lists(st.one_of(drawn.conversations(), drawn.plain_texts, drawn.preferences(), drawn.unpaired), min_size=1)
)
@_some
def test_kinds_mixed_in_one_file_stay_apart(rows: list[Normalised]) -> None:
    formats = {"sft": "messages", "preference": "preference", "unpaired": "unpaired"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        write_rows(rows, out, "native")
        for row, found in zip(rows, read_rows(out), strict=True):
            name = "text" if "text" in found.value else formats[purpose_of(row)]
            assert read_row(found.value, name)[1] == row


@given(st.one_of(drawn.conversations(), drawn.preferences(), drawn.unpaired, drawn.prompts, drawn.plain_texts))
@_some
def test_rows_cross_to_another_process_unchanged(row: Normalised) -> None:
    assert msgspec.json.decode(msgspec.json.encode(row), type=Normalised) == row


def test_an_empty_system_turn_says_nothing_anywhere(tmp_path: Path) -> None:
    value = {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "q"},
                          {"role": "assistant", "content": "a"}]}  # fmt: skip
    _, row = read_row(value)
    assert isinstance(row, Conversation)
    assert [turn.role for turn in row.messages] == ["user", "assistant"]
    for target in ("messages", "sharegpt", "alpaca", "prompt-completion", "chatml"):
        back, skipped = through_a_file([row], target, ".jsonl", target)
        assert (back, skipped) == ([row], {})
