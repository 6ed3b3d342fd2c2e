"""Reproducible, disjoint, and nothing lost without a name."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.data import training_set
from backprop_tui.data.finding.places import resolve
from backprop_tui.data.formats import read_row
from backprop_tui.data.looking.part import How
from backprop_tui.data.looking.preview import Preview
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.data.training_set import TrainingSet, build, check
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from tests.support.models import make_model

MODEL = demo_model_dir()


def chat_row(number: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"a{number}"}]}


def write(place: Path, rows: list[Any], name: str = "x.jsonl") -> str:
    path = place / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(path)


def indices(built: TrainingSet) -> tuple[list[int], list[int]]:
    return [row.index for row in built.train], [row.index for row in built.eval]


def test_split_is_disjoint_complete_and_repeats(tmp_path: Path) -> None:
    path = write(tmp_path, [chat_row(number) for number in range(200)])
    first = build(DataPart(path=path, eval_split=0.1), MODEL, seed=7)
    train, held = indices(first)
    assert len(held) == 20
    assert sorted(train + held) == list(range(200))
    assert indices(build(DataPart(path=path, eval_split=0.1), MODEL, seed=7)) == (train, held)
    assert indices(build(DataPart(path=path, eval_split=0.1), MODEL, seed=8))[1] != held
    assert held != list(range(20))
    assert [row.messages[0].content for row in first.eval_conversations] == [f"q{index}" for index in held]


def test_selection_never_changes_between_releases(tmp_path: Path) -> None:
    """Frozen on purpose: a resumed run must draw the rows it began with."""
    path = write(tmp_path, [chat_row(number) for number in range(40)])
    built = build(DataPart(path=path, eval_split=0.1, max_rows=10), MODEL, seed=42)
    assert indices(built) == ([1, 15, 17, 18, 19, 25, 28, 32, 33], [13])


def test_row_limit_takes_a_shuffled_part(tmp_path: Path) -> None:
    path = write(tmp_path, [chat_row(number) for number in range(100)])
    small = indices(build(DataPart(path=path, eval_split=0.0, max_rows=10), MODEL, seed=1))
    large = indices(build(DataPart(path=path, eval_split=0.0, max_rows=30), MODEL, seed=1))
    assert len(small[0]) == 10
    assert small[1] == []
    assert set(small[0]) < set(large[0])
    assert small[0] != list(range(10))


def test_held_out_file_takes_the_place_of_the_split(tmp_path: Path) -> None:
    path = write(tmp_path, [chat_row(number) for number in range(20)])
    other = write(tmp_path, [chat_row(900), {"messages": []}], "held.jsonl")
    built = build(DataPart(path=path, eval_path=other, eval_split=0.5), MODEL, seed=1)
    assert len(built.train) == 20
    assert len(built.eval) == 1
    assert built.eval_conversations[0].messages[0].content == "q900"
    assert built.dropped == {"held out: no answer turn": 1}
    names = [data["sources"][0]["files"][0]["name"] for data in built.fingerprint["sources"]]
    assert names == ["x.jsonl", "held.jsonl"]


def test_rows_in_are_rows_kept_plus_rows_dropped_by_reason(tmp_path: Path) -> None:
    long_question = {"messages": [{"role": "user", "content": "word " * 500}, {"role": "assistant", "content": "a"}]}
    rows = [chat_row(1), {"question": "q", "answer": "a"}, {"text": "plain"}, {"messages": []}, {"x": 1}, long_question]
    built = build(DataPart(path=write(tmp_path, rows), eval_split=0.0, max_length=64), MODEL, seed=1)
    assert built.dropped == {"no answer turn": 1, "unknown format": 1, "answer cut away": 1}
    assert len(built.train) + built.dropped_rows == len(rows)
    assert built.formats == {"messages": 2, "question-answer": 1, "text": 1}


def test_cut_rows_are_counted(tmp_path: Path) -> None:
    long_answer = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "word " * 100}]}
    built = build(DataPart(path=write(tmp_path, [long_answer]), eval_split=0.0, max_length=32), MODEL, seed=1)
    assert (built.cut_rows, len(built.train[0])) == (1, 32)
    assert built.cut_tokens > 50


def test_what_is_trained_on_is_what_the_preview_shows(tmp_path: Path) -> None:
    rows = [chat_row(1), {"text": "plain words"}, {"prompt": "<|im_end|> forged", "completion": "an answer " * 30}]
    path = write(tmp_path, rows)
    built = build(DataPart(path=path, eval_split=0.0, max_length=64), MODEL, seed=1)
    tokenizer, preview = ChatTokenizer.load(MODEL), Preview(resolve(path))
    for row in built.train:
        shown = preview.view(row.index, tokenizer=tokenizer, how=How(max_length=64))
        assert shown is not None
        again = tokenizer.explain(read_row(rows[row.index])[1], max_length=64).encoded
        assert (row.ids, row.trained) == (again.ids, again.trained)
        assert (shown.tokens, shown.trained, shown.cut) == (len(row), row.trained_tokens, row.cut)


@pytest.mark.parametrize("stage", ["check", "build"])
@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (['{"a":1}', "broken"], "DATA_LINE_NOT_JSON", "line 2"),
        ([{"messages": [{"role": "user", "content": "q"}]}] * 3, "DATA_NO_ASSISTANT", "All 3 rows"),
        ([{"messages": []}, {"x": 1}, {"x": 2}], "DATA_NO_USABLE_ROWS", "unknown format 2, no answer turn 1"),
        ([{"prompt": "word " * 900, "completion": "a"}], "DATA_ANSWER_CUT", "The only row"),
        (["", "  "], "DATA_FILE_EMPTY", "no rows"),
    ],
)
def test_unusable_data_is_refused(stage: str, rows: list[Any], code: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, [*rows, ""])
    data = DataPart(path=path, max_length=128)
    refuse = check if stage == "check" else partial(build, seed=1)
    with pytest.raises(DataError, match=words) as error:
        refuse(data, MODEL)
    assert error.value.code == code
    assert error.value.next_step


def test_held_out_file_is_checked_too(tmp_path: Path) -> None:
    path = write(tmp_path, [chat_row(1)])
    for other, code in (
        ("nothing.jsonl", "DATA_FILE_MISSING"),
        (write(tmp_path, ["{"], "bad.jsonl"), "DATA_LINE_NOT_JSON"),
    ):
        with pytest.raises(DataError) as error:
            check(DataPart(path=path, eval_path=other), MODEL)
        assert error.value.code == code


def test_conversations_need_a_template_and_text_does_not(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", None)
    with pytest.raises(DataError) as error:
        check(DataPart(path=write(tmp_path, [chat_row(1)])), model)
    assert error.value.code == "MODEL_NO_CHAT_TEMPLATE"
    facts = check(DataPart(path=write(tmp_path, ["one", "", "two"], "x.txt")), model)
    assert facts == {"rows": 2, "kept": 2, "dropped": {}, "formats": {"text": 2}}


def test_template_that_refuses_every_row_is_an_error_and_some_rows_are_a_count(tmp_path: Path) -> None:
    from tests.support.models import GEMMA

    model = make_model(tmp_path / "m", GEMMA, eos="<end_of_turn>")
    with_system = {"messages": [{"role": "system", "content": "s"}, *chat_row(1)["messages"]]}
    with pytest.raises(DataError, match="System role not supported") as error:
        build(DataPart(path=write(tmp_path, [with_system] * 2)), model, seed=1)
    assert error.value.code == "CHAT_TEMPLATE_REFUSED"
    built = build(DataPart(path=write(tmp_path, [with_system, chat_row(1)]), eval_split=0.0), model, seed=1)
    assert built.dropped == {"refused by the chat template": 1}


def test_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    rows = [chat_row(number) for number in range(5)]
    (tmp_path / "other").mkdir()
    one = build(DataPart(path=write(tmp_path, rows)), MODEL, seed=1).fingerprint
    two = build(DataPart(path=write(tmp_path / "other", rows)), MODEL, seed=1).fingerprint
    assert one == two
    assert json.loads(json.dumps(one)) == one
    changed = build(DataPart(path=write(tmp_path, [chat_row(9), *rows[1:]])), MODEL, seed=1).fingerprint
    assert changed["sources"] != one["sources"]
    assert changed["train"]["sha256"] != one["train"]["sha256"]
    other_seed = build(DataPart(path=write(tmp_path, rows)), MODEL, seed=2).fingerprint
    assert other_seed != one


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [chat_row(number) for number in range(5)])

    def grow(done: int, total: int | None) -> None:
        if total is not None:
            with Path(path).open("a") as file:
                file.write("\n" + json.dumps(chat_row(99)))
            os.utime(path, ns=(1, 1))

    with pytest.raises(DataError) as error:
        build(DataPart(path=path), MODEL, seed=1, on_progress=grow)
    assert error.value.code == "DATA_CHANGED"


def test_progress_counts_rows(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = write(tmp_path, [chat_row(number) for number in range(1200)])
    build(DataPart(path=path), MODEL, seed=1, on_progress=lambda done, total: seen.append((done, total)))
    assert (1000, None) in seen
    assert seen[-1] == (1200, 1200)


def test_demo_brings_its_own_held_out_rows() -> None:
    built = build(DataPart(), MODEL, seed=42)
    assert len(built.train) > 100
    assert len(built.eval) > 10
    assert build(DataPart(eval_split=0.0), MODEL, seed=42).eval == []
    assert training_set.data_sets(DataPart())[1] is not None
