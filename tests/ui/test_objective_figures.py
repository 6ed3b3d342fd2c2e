"""What an objective tells beside the loss, from the journal to the eye: curves, remembered columns, panel, lines, fields."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.glyphs import UNICODE
from backprop_tui.app.narrate import tell
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.chart_metrics import in_order, metric_of
from backprop_tui.app.widgets.figures import figure_lines
from backprop_tui.cli.main import main
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.figures import Prices
from backprop_tui.protocol.task_figures import WORDS, step_figures, words_of
from backprop_tui.protocol.view import RunView
from backprop_tui.store import columns, history
from backprop_tui.store.history import History
from backprop_tui.store.journal import JournalTail, read_events
from backprop_tui.store.series import SeriesStore
from tests.support.runs import HOSTILE, FakeRun
from tests.ui.helpers import shows, until

DPO = {"rewards/margin": 1.25, "rewards/accuracy": 0.75, "rewards/chosen": 0.5, "rewards/rejected": -0.75}


def recorded(steps: int = 20) -> FakeRun:
    fake = FakeRun().begin(total=steps)
    fake.measure(**{"rewards/margin": 0.0, "rewards/accuracy": 0.5}, perplexity=None)
    fake.train(steps // 2, **DPO)
    fake.measure(**{"rewards/margin": 0.9, "rewards/accuracy": 0.625}, perplexity=None)
    fake.train(steps // 2, **{**DPO, "rewards/margin": 2.5})
    fake.journal.sync()
    return fake


def events_of(fake: FakeRun) -> list[Event]:
    return list(read_events(fake.run.journal_file))


def test_every_figure_is_a_curve_and_what_was_held_out_another() -> None:
    fake = recorded()
    store = SeriesStore()
    store.add(events_of(fake))
    steps, margins = store.get("rewards/margin")
    assert (steps.tolist(), margins.tolist()) == ([*range(1, 21)], [1.25] * 10 + [2.5] * 10)
    steps, margins = store.get("eval_rewards/margin")
    assert (steps.tolist(), margins.tolist()) == ([0, 10], [0.0, 0.9])
    assert "eval_perplexity" not in store.names()
    # A later attempt that repeats steps supersedes what was held out then, too.
    store.add([Event(900, 1.0, 1.0, 2, ev.STEP, {"step": 8, "loss": 1.0})])
    assert store.get("eval_rewards/margin")[0].tolist() == [0]
    fake.let_go()


def test_figures_survive_the_remembered_columns(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in bulk, written to files and read from them again: the very numbers, under the very names."""
    monkeypatch.setattr(history, "WORTH_FILES", 1)
    fake = recorded(400)
    place = columns.place_of(fake.run.id)
    for again in (False, True):
        assert place.exists() is again
        store, view = SeriesStore(), RunView()
        reader = History(JournalTail(fake.run.journal_file), place)
        while (stretch := reader.next()) is not None:
            for event in stretch.events:
                store.mark(event)
            view.apply(stretch.events)
            store.extend(stretch)
        assert store.get("rewards/margin")[1].tolist() == [1.25] * 200 + [2.5] * 200
        assert store.get("eval_rewards/margin")[1].tolist() == [0.0, 0.9]
        assert view.figures == {**DPO, "rewards/margin": 2.5}
        assert view.eval_figures == {"rewards/margin": 0.9, "rewards/accuracy": 0.625}
        assert RunView.from_dict(view.to_dict()).figures == view.figures
    fake.let_go()


def test_the_panel_shows_the_most_telling_ones_first_and_held_out_ones_beside() -> None:
    fake = recorded()
    model = RunModel()
    model.apply(events_of(fake))
    lines = ["".join(text for text, _ in line) for line in figure_lines(model, 60, 40, UNICODE, Prices())]
    assert any("reward margin" in line and "2.5" in line and "held out 0.9" in line for line in lines)
    assert any("pairs right" in line and "75 %" in line and "held out 62 %" in line for line in lines)
    few = ["".join(text for text, _ in line) for line in figure_lines(model, 60, 4, UNICODE, Prices())]
    assert sum("reward margin" in line or "pairs right" in line for line in few) == 2
    fake.let_go()


def test_charts_know_their_words_and_draw_what_belongs_together() -> None:
    names = ["logps/chosen", "tokens_per_s", "rewards/accuracy", "loss", "rewards/margin", "eval_rewards/margin"]
    assert in_order(names)[:3] == ["loss", "rewards/margin", "rewards/accuracy"]
    assert metric_of("eval_rewards/by_length").title == "eval reward by_length"
    assert metric_of("rewards/by_length").beside == "eval_rewards/by_length"
    for name in WORDS:
        metric, held = metric_of(name), metric_of(f"eval_{name}")
        assert metric.beside == f"eval_{name}"
        assert metric.unit == held.unit
        assert held.sparse


def test_the_command_line_says_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = recorded()
    fake.end()
    assert main(["show", fake.run.id]) == 0
    shown = capsys.readouterr().out
    assert "reward margin" in shown
    assert "2.5  (held out 0.9)" in shown
    assert main(["watch", fake.run.id, "--once", "--format", "{margin:.1f} {pairs:.2f}"]) == 0
    assert capsys.readouterr().out.strip() == "2.5 0.75"
    assert main(["show", fake.run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["view"]["figures"]["rewards/margin"] == 2.5


def test_a_foreign_journal_can_name_and_say_what_it_likes() -> None:
    """Any name, any number of them, any value: words are made harmless, and no number is invented."""
    many = {f"figure{place}": place for place in range(500)}
    found = step_figures({"step": 3, "loss": 1.0, HOSTILE: 1.0, "deep": {"a": 1}, "yes": True, "nan": "nan", **many})
    assert len(found) == 32
    assert "deep" not in found
    assert "yes" not in found
    assert math.isnan(found["nan"])
    for name in found:
        assert words_of(name).title.isprintable()
        assert "\x1b" not in words_of(name).title
    assert words_of("rewards/margin").value(None) == "–"
    assert list(step_figures({"zz": 1, "kl": 2, "rewards/margin": 3})) == ["rewards/margin", "kl", "zz"]


async def test_the_chart_begins_with_the_reward_and_keeps_what_is_chosen() -> None:
    fake = FakeRun().begin().train(4, loss=0.0, reward=0.5)
    fake.measure(loss=-0.5, perplexity=None, reward=0.5)
    app = BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))
    async with app.run_test(size=(120, 40)) as pilot:
        chart = app.screen.query_one(Chart).model
        await until(pilot, lambda: chart.metric == "reward")
        await shows(pilot, "reward ─")
        chart.metric = "loss"
        fake.train(2, loss=0.0, reward=0.5)
        fake.journal.sync()
        await shows(pilot, "6/100")
        assert chart.metric == "loss"
    fake.let_go()


def test_evaluations_are_told_in_words_and_without_a_perplexity_that_is_none() -> None:
    fake = recorded()
    lines = [told[1] for event in events_of(fake) if event.kind == ev.EVAL and (told := tell(event))]
    assert "reward margin 0.9  pairs right 62 %  n=32" in lines[1]
    assert "ppl" not in lines[1]
    fake.let_go()
