"""Which rows are drawn, how often and in which order, by the settings of a run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.data.finding.places import resolve
from backprop_tui.data.selection import Selection, scan, select
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.spec import DataPart


def chat(question: str, answer: str = "an answer", **columns: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **columns}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def drawn(words: Path | str, seed: int = 1, **settings: Any) -> Selection:
    part = DataPart(path=str(words), **{"eval_split": 0.0, **settings})
    return select(scan(resolve(part.path), part), part, seed)


def dropped(words: Path | str, **settings: Any) -> dict[str, int]:
    part = DataPart(path=str(words), **settings)
    return dict(scan(resolve(part.path), part).dropped)


def test_the_filter_leaves_rows_out_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.jsonl", [chat("q", "long answer " * n, lang="en" if n % 2 else "de") for n in range(1, 9)]
    )
    assert drawn(path, filter="answer_chars > 40 and lang == 'en'").train == (4, 6)
    assert dropped(path, filter="answer_chars > 40 and lang == 'en'") == {"left out by the filter": 6}
    with pytest.raises(DataError) as error:
        drawn(path, filter="turns > 90")
    assert (error.value.code, "All 8 rows" in error.value.cause) == ("DATA_FILTERED", True)
    with pytest.raises(DataError) as error:
        drawn(path, filter="lnag == 'en'")
    assert (error.value.code, "'lnag'" in error.value.cause) == ("DATA_FILTER_COLUMN", True)
    with pytest.raises(UsageError) as usage:
        drawn(path, filter="answer_chars >")
    assert usage.value.code == "DATA_FILTER_INVALID"


def test_duplicates_are_kept_or_dropped_as_asked(tmp_path: Path) -> None:
    long = "the quick brown fox jumps over the lazy dog again and again until the evening comes " * 3
    path = write(
        tmp_path / "x.jsonl", [chat("q", long), chat("q", long), chat("q", long + "!"), chat("other", "words")]
    )
    assert drawn(path).train == (0, 1, 2, 3)
    assert drawn(path, duplicates="exact").train == (0, 2, 3)
    assert drawn(path, duplicates="near").train == (0, 3)
    assert dropped(path, duplicates="near") == {"exact duplicate": 1, "near duplicate": 1}
    assert drawn(path, duplicates="near", near_threshold=1.0).train == (0, 2, 3)


def test_damaged_rows_are_refused_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [chat("q"), "broken", chat("r")])
    with pytest.raises(DataError, match="line 2") as error:
        drawn(path)
    assert error.value.code == "DATA_LINE_NOT_JSON"
    assert drawn(path, damaged="drop").train == (0, 2)
    assert dropped(path, damaged="drop") == {"damaged": 1}


def test_weights_repeat_or_thin_out_a_source(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [chat(f"a{n}") for n in range(10)])
    write(tmp_path / "b.jsonl", [chat(f"b{n}") for n in range(10)])
    words = f"2x {tmp_path}/a.jsonl + 0.5x {tmp_path}/b.jsonl"
    chosen = drawn(words)
    counts = Counter(chosen.train)
    assert all(counts[place] == 2 for place in range(10))
    assert [counts[place] for place in range(10, 20)].count(1) == 5
    assert dict(chosen.steps)["with repeats"] == 25
    assert drawn(words).train == chosen.train
    assert drawn(words, seed=2).train != chosen.train
    held = drawn(words, eval_split=0.25)
    assert not set(held.held) & set(held.train)
    assert len(held.held) == len(set(held.held)) == 5


def test_rows_of_a_group_stay_on_one_side(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [chat(f"q{n}", user={"id": n % 12}) for n in range(120)])
    chosen = drawn(path, eval_split=0.2, group_by="user.id")
    assert {place % 12 for place in chosen.held}.isdisjoint(place % 12 for place in chosen.train)
    assert 10 <= len(chosen.held) <= 40
    with pytest.raises(DataError) as error:
        drawn(path, eval_split=0.2, group_by="nobody")
    assert error.value.code == "DATA_GROUP_MISSING"


def test_equal_rows_never_stand_on_both_sides(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [chat(f"q{n % 20}") for n in range(200)])
    chosen = drawn(path, eval_split=0.1)
    assert {place % 20 for place in chosen.held}.isdisjoint(place % 20 for place in chosen.train)


def test_curriculum_goes_from_easy_to_difficult(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [chat("q", "w " * length, hard=-length) for length in (5, 1, 9, 3)])
    assert drawn(path, order="curriculum").train == (1, 3, 0, 2)
    assert drawn(path, order="curriculum", difficulty="hard").train == (2, 0, 3, 1)
    assert drawn(path, order="file").train == (0, 1, 2, 3)
    with pytest.raises(DataError) as error:
        drawn(path, order="curriculum", difficulty="nothing")
    assert error.value.code == "DATA_DIFFICULTY_MISSING"


def test_rows_of_another_purpose_are_left_out(tmp_path: Path) -> None:
    pair = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    path = write(tmp_path / "x.jsonl", [chat("q"), pair, {"prompt": "q", "completion": "a", "label": True}])
    assert drawn(path).train == (0,)
    assert dropped(path) == {"preference pair": 1, "labelled completion": 1}


def test_columns_are_mapped_as_told(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"ask": "q", "say": "a"}, {"ask": "r", "say": "b"}])
    assert drawn(path, columns="user=ask assistant=say").train == (0, 1)
    with pytest.raises(DataError) as error:
        drawn(path)
    assert error.value.code == "DATA_FORMAT_NONE"
