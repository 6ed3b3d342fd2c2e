"""Each hostile case ends in its named verdict, in seconds, with every row accounted for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from backprop_tui.data.finding.places import check_set, read_set, resolve
from backprop_tui.data.formats import read_row
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text
from tests.unit.data.hostile.cases import CASES, SECRET, Case, build


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_verdict(case: Case, tmp_path: Path) -> None:
    words = build(case, tmp_path)
    error = ""
    kept, rows = 0, 0
    dropped: Counter[str] = Counter()
    notes: list[str] = []
    shown: list[str] = []
    advice: list[str] = []
    try:
        data = resolve(words)
        check_set(data)
        for row in read_set(data, on_note=lambda note: notes.append(note.code)):
            assert row.index == rows
            rows += 1
            if row.problem is not None:
                dropped[row.problem.code] += 1
                advice.append(row.problem.next_step)
                shown += [row.problem.cause, row.problem.value, row.problem.file]
                assert len(row.problem.value) <= 60
                continue
            assert row.index > 20 or SECRET not in str(row.value)
            try:
                read_row(row.value)
                kept += 1
            except RowRejected as rejected:
                dropped[rejected.code] += 1
                shown += [rejected.cause, rejected.value]
    except BackpropError as refused:
        error = refused.code
        advice.append(refused.next_step)
        shown.append(refused.cause)
    assert (error, tuple(notes)) == (case.error, case.notes)
    if not error:
        assert (kept, dict(dropped)) == (case.kept, case.dropped)
        assert rows == kept + dropped.total()
    assert all(advice)
    assert all(text == safe_text(text) and SECRET not in text for text in [*shown, *advice])


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 60
    assert all(case.error or case.kept or case.dropped for case in CASES)
