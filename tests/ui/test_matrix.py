"""The sheet of a multi-run, its boundaries and its curves on the Run screen."""

from __future__ import annotations

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.narrate import tell
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.matrix import matrix_lines
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.view import RunView
from backprop_tui.store.series import SeriesStore
from tests.support.runs import FakeRun
from tests.ui.helpers import screen_text, shows, until
from tests.unit.test_matrix import event, story

TASKS = ["data/one.jsonl", "data/two.jsonl", "data/three.jsonl"]
LOSSES = [[4.0, 4.1, 4.2], [1.0, 3.9, 4.1], [1.5, 2.0, 4.0], [1.25, 2.5, 0.5]]


def multi_run() -> FakeRun:
    """Three runs of four steps, the last merge refused."""
    fake = FakeRun(name="sequence").begin(total=12)
    fake.add(ev.MATRIX, index=0, step=0, tasks=TASKS, losses=LOSSES[0])
    for index in (1, 2, 3):
        first = 4 * index - 3
        stage = {"index": index, "of": 3, "name": TASKS[index - 1], "rows": 40, "replayed": 8 * (index > 1), "lr": 2e-4}
        fake.add(ev.STAGE, status="begin", first_step=first, last_step=first + 3, **stage)
        fake.train(4)
        fake.add(
            ev.MERGE,
            index=index,
            step=first + 3,
            strategy="slao",
            share=1 / index**0.5,
            drift=None if index == 1 else 0.25,
            accepted=index < 3,
            reason="" if index < 3 else "It drifts too far.",
            merged=min(index, 2),
        )
        fake.add(ev.MATRIX, index=index, step=first + 3, tasks=TASKS, losses=LOSSES[index])
    return fake


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_sheet_shows_runs_shares_drift_the_matrix_and_its_figures(size: tuple[int, int]) -> None:
    fake = multi_run()
    app = BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "12/12")
        assert "run 3/3" in screen_text(app)
        if size[0] >= 120:
            assert "3 of 3     run 3 not merged" in screen_text(app)
        await pilot.press("M")
        await shows(pilot, "multi-run  3 of 3 runs")
        text = screen_text(app)
        for words in (
            "average 1.417",
            "forgetting 0.375",
            "backward transfer -0.375",
            "λ",
            "drift",
            "three",
            "0.707",
            "0.250",
        ):
            assert words in text, (words, text)
        for row in LOSSES:
            assert all(f"{loss:.3f}" in text for loss in row)
        await pilot.press("G")
        await shows(pilot, "run 3 not merged, the delivered adapter")
        await shows(pilot, "backward transfer: by how much earlier tasks fell since their own")
        await pilot.press("escape")
        await shows(pilot, "machine" if size[0] >= 120 else "12/12")
    fake.let_go()


async def test_a_single_run_says_that_it_has_no_matrix() -> None:
    fake = FakeRun().begin().train(2)
    app = BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "2/100")
        assert "Matrix" not in screen_text(app)
        await pilot.press("M")
        await shows(pilot, "This is a single run")
    fake.let_go()


async def test_run_boundaries_stand_in_the_chart() -> None:
    fake = multi_run()
    app = BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))
    async with app.run_test(size=(120, 40)) as pilot:
        # The frame is labelled a moment before or after the plot is drawn.
        await shows(pilot, "next run ╎")
        await until(pilot, lambda: screen_text(app).count("╎") > 3)
        legend, *plot = [line for line in screen_text(app).splitlines() if "╎" in line]
        assert "next run ╎" in legend
        assert len({at for line in plot for at, sign in enumerate(line) if sign == "╎"}) == 2
    fake.let_go()


def test_share_and_drift_are_curves_and_a_later_attempt_supersedes_them() -> None:
    series = SeriesStore()
    series.add(story())
    series.add([event(9, "step", step=7, loss=1.0), event(10, "step", step=8, loss=1.0)])
    steps, values = series.get("merge_share")
    assert (steps.tolist(), values.tolist()) == ([4, 8], [0.7, 0.7])
    assert series.boundaries == [4]
    series.add([event(11, "merge", index=2, step=8, share=0.5, drift=0.1, accepted=True)])
    assert series.get("merge_share")[1].tolist() == [0.7, 0.5]
    assert series.get("merge_drift")[1].tolist() == [0.2, 0.1]
    series.add([event(12, "attempt", attempt=2, resume_step=3), event(13, "step", step=4, loss=1.0)])
    assert series.get("merge_share")[0].tolist() == []
    assert series.boundaries == []


def test_what_does_not_fit_is_said_and_never_cut_in_silence() -> None:
    known = RunView().apply(story()).multi
    known["tasks"] = [f"task {number}" for number in range(30)]
    known["rows"] = {index: [float(number) for number in range(30)] for index in known["rows"]}
    lines = ["".join(text for text, _ in line) for line in matrix_lines(known, 76)]
    assert all(len(line) <= 76 for line in lines)
    assert any("more tasks don't fit" in line for line in lines)


def test_runs_and_merges_have_lines_in_the_log() -> None:
    told = [tell(one) for one in story() if one.kind in ("stage", "merge")]
    assert told[0] == ("info", "run 1 of 3: a, 10 rows, lr 0.001, steps 1 to 4")
    assert told[1] == ("info", "run 1 merged by slao  λ 0.700  drift 0.200")
