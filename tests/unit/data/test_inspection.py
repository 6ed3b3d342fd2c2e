"""A look through a file: true counts, named verdicts, and an end when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui.config.paths import demo_data_file, demo_model_dir
from backprop_tui.data.chat import ChatTokenizer
from backprop_tui.data.inspection import MOST_PROBLEMS, inspect_file
from backprop_tui.data.statistics import length_stats
from backprop_tui.protocol.errors import DataError
from tests.support.models import make_model


def row(question: str, answer: str) -> str:
    return json.dumps({"question": question, "answer": answer})


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer.load(demo_model_dir())


def test_demo_data_is_in_order(tokenizer: ChatTokenizer) -> None:
    found = inspect_file(demo_data_file(), tokenizer=tokenizer, max_length=2048)
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
    found = inspect_file(path, tokenizer=tokenizer, max_length=64)
    assert found.rows == found.kept + sum(found.dropped.values()) == len(lines)
    assert found.dropped == {"damaged": 1, "empty answer": 1, "answer cut away": 1, "unknown format": 1}
    assert found.formats == {"question-answer": 4, "text": 1}
    assert (found.duplicates, found.cut_rows, found.quoted) == (1, 1, 1)
    assert found.cut_tokens > 100
    assert (found.verdict, found.headline) == ("bad", "1 damaged row (line 2)")
    places = {problem.code: (problem.line, problem.severity) for problem in found.problems}
    assert places["DATA_LINE_NOT_JSON"] == (2, "error")
    assert places["DATA_ANSWER_EMPTY"] == (4, "warn")
    assert places["DATA_ANSWER_CUT"] == (5, "warn")
    assert places["DATA_CONTROL_TOKENS"] == (9, "warn")
    words = found.to_dict()
    assert json.loads(json.dumps(words)) == words


def test_without_a_tokenizer_tokens_are_unknown_not_zero(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(row("q", "abc"))
    found = inspect_file(path)
    assert (found.tokens, found.trained_share) == (None, None)
    assert found.characters is not None
    assert found.characters.total == 4
    assert found.verdict == "ok"


def test_problems_are_listed_up_to_a_limit_and_counted_beyond(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("broken\n" * (MOST_PROBLEMS + 50) + row("q", "a"))
    found = inspect_file(path)
    assert len(found.problems) == MOST_PROBLEMS
    assert found.problem_counts["DATA_LINE_NOT_JSON"] == MOST_PROBLEMS + 50
    assert found.dropped["damaged"] == MOST_PROBLEMS + 50


def test_it_stops_when_asked(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(row(f"q{number}", "a") for number in range(5000)))
    told: list[tuple[int, int]] = []
    found = inspect_file(
        path,
        tokenizer=tokenizer,
        on_progress=lambda done, total: told.append((done, total)),
        cancelled=lambda: len(told) >= 3,
    )
    assert not found.complete
    assert 0 < found.rows < 5000
    assert found.rows == found.kept
    assert len(told) == 3
    whole = inspect_file(path, on_progress=lambda done, total: told.append((done, total)))
    assert whole.complete
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


def test_mixed_file_is_normalised_row_by_row_and_duplicates_are_found_across_formats(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    path.write_text(
        json.dumps([{"question": "q", "answer": "a"}, {"conversations": turns}, "words", {"text": "words"}])
    )
    found = inspect_file(path)
    assert found.formats == {"question-answer": 1, "sharegpt": 1, "text": 2}
    assert found.duplicates == 2


def test_no_assistant_turn_is_the_headline(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"messages":[{"role":"user","content":"q"}]}\n' * 3)
    found = inspect_file(path)
    assert (found.kept, found.verdict, found.headline) == (0, "bad", "no answer turn")
    assert found.characters is None


def test_a_template_that_never_stops_is_worth_a_word(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"  # noqa: E501
    endless = ChatTokenizer.load(make_model(tmp_path / "m", template))
    found = inspect_file(demo_data_file(), tokenizer=endless)
    assert found.problem_counts == {"CHAT_TEMPLATE_NO_STOP": 1}
    assert found.verdict == "warn"


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n \n")
    with pytest.raises(DataError) as error:
        inspect_file(path)
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
