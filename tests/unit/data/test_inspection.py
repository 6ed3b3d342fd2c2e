"""A look through a file: true counts, named verdicts, and an end when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_tui.config.paths import demo_data_file, demo_model_dir
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.finding.places import resolve
from backprop_tui.data.looking import inspection, look, statistics
from backprop_tui.data.looking.findings import Inspection
from backprop_tui.data.looking.inspection import inspect_data
from backprop_tui.data.looking.part import MOST_EACH, How
from backprop_tui.data.looking.statistics import length_stats, repeated
from backprop_tui.data.readers import files
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.data.sources import read_rows
from backprop_tui.data.training_set import check
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from tests.support.models import make_model


def row(question: str, answer: str) -> str:
    return json.dumps({"question": question, "answer": answer})


def inspect(path: Path | str, *, max_length: int | None = None, **options: Any) -> Inspection:
    return inspect_data(resolve(str(path)), how=How(max_length=max_length), **options)


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer.load(demo_model_dir())


def test_demo_data_is_in_order(tokenizer: ChatTokenizer) -> None:
    found = inspect(demo_data_file(), tokenizer=tokenizer, max_length=2048)
    assert found.verdict == "ok"
    assert found.rows == found.kept == sum(found.formats.values())
    assert found.tokens is not None
    assert 0 < found.tokens.p50 <= found.tokens.p95 <= found.tokens.longest
    assert sum(count for _, count in found.tokens.histogram) == found.kept
    assert found.trained_share is not None
    assert 0.1 < found.trained_share < 0.9


def test_every_row_is_accounted_for(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    lines = [
        row("q", "a"),
        "broken",
        row("q", "a"),
        row("q", ""),
        row("q " * 200, "a"),
        row("q", "a " * 200),
        '{"z":1}',
    ]
    lines += [json.dumps({"text": "words"}), row("<|im_end|>", "a")]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines))
    found = inspect(path, tokenizer=tokenizer, max_length=64)
    assert found.rows == found.kept + sum(found.dropped.values()) == len(lines)
    assert found.dropped == {"damaged": 1, "empty answer": 1, "answer cut away": 1, "unknown format": 1}
    assert found.formats == {"question-answer": 4, "text": 1}
    assert (found.duplicates, found.cut_rows, found.quoted) == (1, 1, 1)
    assert found.cut_tokens > 100
    assert (found.verdict, found.headline) == ("bad", "1 damaged row (line 2)")
    places = {problem.code: (problem.line, problem.severity) for problem in found.problems}
    assert places["DATA_LINE_NOT_JSON"] == (2, "error")
    assert places["DATA_ROW_CUT"][1] == "warn"
    assert places["DATA_ANSWER_EMPTY"] == (4, "warn")
    assert places["DATA_ANSWER_CUT"] == (5, "warn")
    assert places["DATA_CONTROL_TOKENS"] == (9, "warn")
    words = found.to_dict()
    assert json.loads(json.dumps(words)) == words


def test_without_a_tokenizer_tokens_are_unknown_not_zero(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(row("q", "abc"))
    found = inspect(path)
    assert (found.tokens, found.trained_share) == (None, None)
    assert found.characters is not None
    assert found.characters.total == 4
    assert found.verdict == "ok"


def test_problems_are_listed_up_to_a_limit_and_counted_beyond(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("broken\n" * 5000 + '{"z":1}\n' + row("question", "answer"))
    found = inspect(path)
    assert [problem.line for problem in found.problems] == [*range(1, MOST_EACH + 1), 5001]
    assert found.problem_counts == {"DATA_LINE_NOT_JSON": 5000, "DATA_FORMAT_NONE": 1}
    assert found.dropped == {"damaged": 5000, "unknown format": 1}


@pytest.mark.parametrize("extension", [".jsonl", ".json"])
def test_it_stops_when_asked(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"x{extension}"
    path.write_text("\n".join(row(f"q{number}", "a" * 2000) for number in range(5000)))
    told: list[tuple[int, int]] = []
    found = inspect(
        path,
        on_progress=lambda done, total: told.append((done, total)),
        cancelled=lambda: len(told) >= 1,
    )
    assert not found.complete
    assert 0 < found.rows < 5000
    assert found.rows == found.kept
    assert len(told) == 1
    whole = inspect(path, on_progress=lambda done, total: told.append((done, total)))
    assert whole.complete
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


LINES = st.lists(
    st.sampled_from(
        [
            b"", b"  ", b"\r", b"broken", b'{"question":"q","answer":"a"}', b'{"question":"q2","answer":"a"}\r',
            b'{"text":"words \xc3\xa9"}', b'{"text":"\xff"}', b'{"z":1}', b'{"question":"q","answer":""}', b"x" * 90,
            b'{"a":1,"a":2}', b'{"text":"mail me: a.b@example.com"}',
        ]
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=LINES,
    piece=st.integers(1, 120),
    last=st.booleans(),
    bom=st.booleans(),
    longest=st.sampled_from([60, 1 << 20]),
)
def test_a_file_in_pieces_is_the_file_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[bytes], piece: int, last: bool, bom: bool, longest: int
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" * bom + b"\n".join([b'{"text":"first"}', *lines]) + b"\n" * last)
    for module in (look, files):
        monkeypatch.setattr(module, "MAX_LINE", longest)
    whole = inspect(path).to_dict()
    monkeypatch.setattr(inspection, "_PIECE", piece)
    pieces = inspect(path).to_dict()
    monkeypatch.undo()
    assert {**whole, "seconds": 0} == {**pieces, "seconds": 0}
    # Lines and rows are those of a plain reading.
    rows = list(read_rows(path))
    assert whole["rows"] == len(rows)
    if longest > 60:
        damaged = {row.line for row in rows if row.problem is not None and row.problem.code != "DATA_BOM"}
        assert {problem["line"] for problem in whole["problems"] if problem["severity"] == "error"} == damaged


def test_children_and_this_process_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: ChatTokenizer
) -> None:
    path = tmp_path / "x.jsonl"
    lines = [row(f"question {number % 700}", "an answer. " * (number % 90)) for number in range(3000)]
    path.write_text("\n".join([*lines[:1500], "broken", *lines[1500:]]))
    monkeypatch.setattr(inspection, "_PIECE_WITH_TOKENS", 100_000)
    monkeypatch.setattr(inspection, "_PIECE", 100_000)
    here = inspect(path, max_length=256, tokenizer=tokenizer).to_dict()
    with RemoteTokenizer(demo_model_dir(), size=2) as remote:
        there = inspect(path, max_length=256, tokenizer=remote).to_dict()
    assert {**here, "seconds": 0} == {**there, "seconds": 0}
    assert there["packing"]["rows_per_sequence"] > 1
    plain = inspect(path).to_dict()
    monkeypatch.setattr(inspection, "_LARGE", 1)
    assert {**plain, "seconds": 0} == {**inspect(path).to_dict(), "seconds": 0}


def test_several_files_are_one_set_with_places_in_each(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").write_text(row("first question", "first answer") + "\nbroken\n")
    (tmp_path / "d" / "b.csv").write_text("question,answer\nfirst question,first answer\nonly one cell\n")
    found = inspect(tmp_path / "d")
    assert [(file.name, file.rows, file.kept) for file in found.files] == [("a.jsonl", 2, 1), ("b.csv", 2, 1)]
    assert (found.rows, found.kept, found.duplicates, found.errors) == (4, 2, 1, 2)
    assert [problem.where.split(" column")[0] for problem in found.problems] == ["a.jsonl line 2", "b.csv line 3"]


def test_damage_may_be_dropped_instead_of_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("broken\n" + row("a question", "an answer"))
    assert inspect(path).verdict == "bad"
    found = inspect(path, refuses_damage=False)
    assert (found.verdict, found.headline) == ("warn", "1 of 2 rows left out")


def test_rows_of_another_purpose_are_left_out_by_name(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    path = tmp_path / "x.jsonl"
    pair = json.dumps({"prompt": "a question", "chosen": "a good answer", "rejected": "a bad answer"})
    path.write_text("\n".join([pair, pair.replace("good", "fine"), row("a question", "an answer")]))
    found = inspect(path, tokenizer=tokenizer, max_length=512)
    assert (found.purpose, found.kept) == ("preference", 2)
    assert found.dropped == {"text or conversation among other rows": 1}
    assert found.tokens is not None
    assert inspect(path, purpose="sft").dropped == {"preference pair": 2}


def test_secrets_are_counted_in_any_kind_of_file(tmp_path: Path) -> None:
    mail = "write to jane.doe@acme-mail.com please"
    (tmp_path / "x.jsonl").write_text(row("where", mail))
    (tmp_path / "x.csv").write_text(f"question,answer\nwhere,{mail}\n")
    for name in ("x.jsonl", "x.csv"):
        found = inspect(tmp_path / name)
        assert sum(found.sensitive.values()) == 1
        assert "jane" not in json.dumps(found.to_dict())


def test_repeats_are_counted_the_same_for_few_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = b"".join((number % 70).to_bytes(16, "big") for number in range(1000)) + bytes(8) + b"\1" * 8
    few = repeated(digests)
    monkeypatch.setattr(statistics, "_MANY", 1)
    assert few == repeated(digests) == 930


def test_mixed_file_is_normalised_row_by_row_and_duplicates_are_found_across_formats(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    path.write_text(
        json.dumps([{"question": "q", "answer": "a"}, {"conversations": turns}, "words", {"text": "words"}])
    )
    found = inspect(path)
    assert found.formats == {"question-answer": 1, "sharegpt": 1, "text": 2}
    assert found.duplicates == 2


def test_no_assistant_turn_is_the_headline(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"messages":[{"role":"user","content":"q"}]}\n' * 3)
    found = inspect(path)
    assert (found.kept, found.verdict, found.headline) == (0, "bad", "no answer turn")
    assert found.characters is None


def test_a_template_that_never_stops_is_worth_a_word(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"  # noqa: E501
    endless = ChatTokenizer.load(make_model(tmp_path / "m", template))
    found = inspect(demo_data_file(), tokenizer=endless)
    assert found.problem_counts == {"CHAT_TEMPLATE_NO_STOP": 1}
    assert found.verdict == "warn"


def test_a_mask_that_masks_nothing_is_refused_like_one_that_masks_all(tmp_path: Path) -> None:
    only_answers = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    )
    hides_prompts = ChatTokenizer.load(make_model(tmp_path / "m", only_answers))
    path = tmp_path / "x.jsonl"
    path.write_text(row("a question", "an answer"))
    found = inspect(path, tokenizer=hides_prompts)
    assert (found.trained_share, found.verdict, found.headline) == (1.0, "bad", "the prompts would be learnt too")
    with pytest.raises(DataError) as error:
        check(DataPart(path=str(path)), tmp_path / "m")
    assert error.value.code == "CHAT_TEMPLATE_AMBIGUOUS"
    text = tmp_path / "x.txt"
    text.write_text("only words")
    assert inspect(text, tokenizer=hides_prompts).verdict == "ok"


def test_rows_whose_prompts_the_template_hides_are_refused_though_it_shows_others(tmp_path: Path) -> None:
    """A short exchange looks sound; with a system message before it only the answer is left, and everything would be learnt."""
    template = (
        "{% set told = messages[0].role == 'system' %}{% for m in messages %}"
        "{% if m.role == 'assistant' %}{{ m.content }}<|im_end|>{% elif not told %}{{ m.content }}: {% endif %}{% endfor %}"
    )
    model = make_model(tmp_path / "m", template)
    roles = {"system": "Be brief.", "user": "a question", "assistant": "an answer"}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"messages": [{"role": role, "content": words} for role, words in roles.items()]}))
    with pytest.raises(DataError) as error:
        check(DataPart(path=str(path)), model)
    assert error.value.code == "DATA_MASK_FULL"
    assert "the prompts included" in error.value.cause
    check(DataPart(path=str(path), train_on="everything"), model)


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n \n")
    with pytest.raises(DataError) as error:
        inspect(path)
    assert error.value.code == "DATA_FILE_EMPTY"


def test_quantiles_by_nearest_rank() -> None:
    from array import array

    stats = length_stats(array("I", range(1, 101)))
    assert stats is not None
    assert (stats.p50, stats.p95, stats.longest, stats.total) == (50, 95, 100, 5050)
    assert sum(count for _, count in stats.histogram) == 100
    assert stats.histogram[0] == (3, 3)
    assert length_stats(array("I")) is None
    one = length_stats(array("I", [0]))
    assert one is not None
    assert one.histogram == ((1, 1),)
