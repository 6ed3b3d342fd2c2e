"""Token accuracy from the journal to the eye: the panel, the lines, the fields of `watch`, `show`, and a curve."""

from __future__ import annotations

import pytest

from backprop_tui.app.glyphs import UNICODE
from backprop_tui.app.narrate import tell
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.figures import figure_lines
from backprop_tui.cli.main import main
from backprop_tui.protocol.figures import Prices
from backprop_tui.store.journal import read_events
from backprop_tui.store.series import SeriesStore
from tests.support.runs import FakeRun


def test_what_was_predicted_right_is_shown_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeRun().begin(total=10)
    fake.measure(token_accuracy=0.25)
    fake.train(10, token_accuracy=0.5)
    fake.measure(token_accuracy=0.8125)
    fake.journal.sync()
    events = list(read_events(fake.run.journal_file))
    model, store = RunModel(), SeriesStore()
    model.apply(events)
    store.add(events)
    fake.let_go()
    lines = ["".join(text for text, _ in line) for line in figure_lines(model, 60, 40, UNICODE, Prices())]
    (line,) = [line for line in lines if line.strip().startswith("accuracy")]
    assert "81" in line
    assert "held-out tokens" in line
    assert any("acc=0.812" in told[1] for told in map(tell, events) if told is not None)
    steps, values = store.get("eval_token_accuracy")
    assert (steps.tolist(), values.tolist()) == ([0, 10], [0.25, 0.8125])
    assert main(["show", fake.run.id]) == 0
    assert "81.2 % of the held-out tokens" in capsys.readouterr().out
    assert main(["watch", fake.run.id, "--once", "--format", "{token_accuracy:.3f}"]) == 0
    assert "0.812" in capsys.readouterr().out


def test_a_run_that_did_not_say_shows_nothing_of_it() -> None:
    fake = FakeRun().begin(total=10)
    fake.measure()
    fake.journal.sync()
    model = RunModel()
    model.apply(read_events(fake.run.journal_file))
    fake.let_go()
    lines = ["".join(text for text, _ in line) for line in figure_lines(model, 60, 40, UNICODE, Prices())]
    assert not [line for line in lines if "accuracy" in line]
