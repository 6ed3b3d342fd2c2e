"""The checkpoints of a run on the Runs screen: what stays is said, pinning is a key, a fork starts from the list."""

from __future__ import annotations

import json

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.runs_checkpoints import CheckpointsModal
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store import pins
from backprop_tui.store.layout import RunDir
from backprop_tui.store.lineage import Parent
from tests.support.runs import FakeRun
from tests.ui.helpers import screen_text, shows, type_text, until
from tests.unit.test_retention import save


def ended(name: str, *, outcome: str = "stopped", parent: Parent | None = None) -> RunDir:
    fake = FakeRun(name=name, hold=False)
    words = RunSpec(name=name).model_dump() | ({"parent": parent.to_dict()} if parent else {})
    fake.run.spec_file.write_text(json.dumps(words))
    fake.begin(total=40)
    for _ in range(3):
        fake.train(10).measure(best=fake.step == 20)
        save(fake.run, fake.step)
    return fake.end(outcome).run


async def test_the_list_says_what_stays_and_pins() -> None:
    run = ended("alpha")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "steps 10, 20, 30")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CheckpointsModal))
        await shows(pilot, "checkpoints of alpha")
        text = screen_text(app)
        assert next(line for line in text.splitlines() if "step 30" in line).rstrip(" │").endswith("newest")
        assert next(line for line in text.splitlines() if "step 20" in line).rstrip(" │").endswith("best")
        await pilot.press("down", "down", "p")
        await until(pilot, lambda: pins.read_pins(run) == {10})
        await shows(pilot, "stays until you unpin it")
        await until(pilot, lambda: isinstance(app.screen, CheckpointsModal))
        await until(pilot, lambda: app.screen.step == 10)  # type: ignore[attr-defined]
        assert next(line for line in screen_text(app).splitlines() if "step 10" in line).rstrip(" │").endswith("pinned")
        await pilot.press("p")
        await until(pilot, lambda: pins.read_pins(run) == frozenset())
        await until(pilot, lambda: isinstance(app.screen, CheckpointsModal))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, CheckpointsModal))


async def test_pins_and_lineage_stand_in_the_facts() -> None:
    parent = ended("alpha")
    pins.pin(parent, 10)
    ended("bravo", parent=Parent(parent.id, 10, "weights"))
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        lineage, pinned = f"{parent.short_id} at step 10", "10 (pinned), 20, 30"
        # Both began in one second, so either may come first.
        await until(pilot, lambda: (lineage in screen_text(app)) != (pinned in screen_text(app)))
        first, other = (lineage, pinned) if lineage in screen_text(app) else (pinned, lineage)
        await pilot.press("down")
        await until(pilot, lambda: other in screen_text(app) and first not in screen_text(app))


async def test_a_fork_starts_from_the_list_and_a_wrong_setting_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended("alpha")
    asked: list[tuple[RunDir, dict[str, object]]] = []

    def start(parent: RunDir, **words: object) -> RunDir:
        asked.append((parent, words))
        return ended("child", parent=Parent(parent.id, 20, "weights"))

    monkeypatch.setattr("backprop_tui.launch.fork.fork_run", start)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "steps 10, 20, 30")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CheckpointsModal))
        await pilot.press("down", "f")
        await shows(pilot, "Fork alpha at step 20")
        await type_text(pilot, "lrr")
        await pilot.press("equals_sign", "1", "enter")
        await shows(pilot, "There is no setting 'lrr'")
        await pilot.press("home", "delete", "delete", "delete", "l", "r", "enter")
        await until(pilot, lambda: bool(asked))
        assert asked[0][0].id == run.id
        assert asked[0][1] == {"step": 20, "changes": {"lr": "1"}, "keep_optimizer": False}


async def test_going_on_from_an_earlier_step_is_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ended("alpha")
    forked: list[object] = []
    resumed: list[object] = []
    monkeypatch.setattr("backprop_tui.launch.fork.fork_run", lambda parent, **words: forked.append(words) or parent)
    monkeypatch.setattr("backprop_tui.launch.start.resume_run", lambda run: resumed.append(run) or run)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "steps 10, 20, 30")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CheckpointsModal))
        await pilot.press("down", "r")
        await until(pilot, lambda: bool(forked))
        assert forked == [{"step": 20, "changes": {}, "keep_optimizer": True}]
        assert not resumed


async def test_an_app_that_only_watches_pins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended("alpha")
    monkeypatch.setenv("BACKPROP_VIEW_ONLY", "1")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "steps 10, 20, 30")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CheckpointsModal))
        await pilot.press("p")
        await shows(pilot, "only watches")
    assert pins.read_pins(run) == frozenset()
