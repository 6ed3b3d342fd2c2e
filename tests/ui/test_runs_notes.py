"""Runs: filter, order, groups and notes on the screen; what is chosen and noted survives; only what changed is sent."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from textual.geometry import Region
from textual.pilot import Pilot

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.runs import RunsScreen
from backprop_tui.app.screens.runs_groups import Heading
from backprop_tui.app.screens.runs_list import RunList
from backprop_tui.app.screens.runs_view import load_view
from backprop_tui.store.layout import RunDir
from backprop_tui.store.notes import change_notes, notes_file, read_notes
from tests.support.runs import FakeRun, finished
from tests.ui.helpers import screen_text, shows, type_text, until


def ended(name: str, *, rank: int = 8, loss: float = 1.0, outcome: str = "completed") -> RunDir:
    fake = FakeRun(name=name, hold=False)
    words = {
        "name": name,
        "model": {"base": "org/qwen", "method": "lora"},
        "lora": {"rank": rank},
        "data": {"path": "a.jsonl"},
    }
    fake.run.spec_file.write_text(json.dumps(words))
    return fake.begin(total=4).train(4, loss=loss).measure(loss=loss).end(outcome).run


def names(app: BackpropApp) -> list[str]:
    items = app.screen.query_one(RunList).items
    return [f"[{item.name}]" if isinstance(item, Heading) else item.title for item in items]


async def filtered(pilot: Pilot[None], text: str) -> None:
    screen = pilot.app.screen
    if screen.focused is screen.query_one(RunList):
        await pilot.press("slash")
    for character in text:
        await pilot.press({" ": "space", "<": "less_than_sign", ":": "colon", "!": "exclamation_mark", "~": "tilde",
                           "=": "equals_sign", ">": "greater_than_sign"}.get(character, character))  # fmt: skip
    assert isinstance(screen, RunsScreen)


async def test_figures_and_settings_filter_while_typing_and_errors_name_the_column() -> None:
    ended("small", rank=8, loss=1.5)
    ended("large", rank=64, loss=0.9)
    ended("broken", rank=64, loss=2.0, outcome="failed")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "small")
        await filtered(pilot, "loss<1.6")
        await until(pilot, lambda: set(names(app)) == {"small", "large"})
        await filtered(pilot, " rank>8")
        await until(pilot, lambda: names(app) == ["large"])
        await filtered(pilot, " sate:x")
        await shows(pilot, "Column 17: there is no figure or setting 'sate'. Did you mean `state`?")
        assert len(names(app)) < 3, "the last filter that was understood holds"
        await pilot.press("enter")
        assert app.screen.focused is not app.screen.query_one(RunList), "what is not understood can't be kept"
        await pilot.press("escape")
        await until(pilot, lambda: len(names(app)) == 3)
        await filtered(pilot, "sta")
        await shows(pilot, "Tab state:")
        await pilot.press("tab", "f")
        await shows(pilot, "Tab failed")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: names(app) == ["broken"])
        await shows(pilot, "/ state:failed")
        assert app.screen.focused is app.screen.query_one(RunList)


async def test_order_and_groups_are_kept_across_starts() -> None:
    for name, loss in (("bravo", 2.0), ("alpha", 3.0), ("charlie", 1.0)):
        run = ended(name, loss=loss)
        if name != "bravo":
            change_notes(run, lambda notes: notes.within("sweep"))
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "charlie")
        await pilot.press("o")
        await shows(pilot, "Sort runs by")
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: names(app) == ["alpha", "bravo", "charlie"])
        await pilot.press("S")
        await until(pilot, lambda: names(app) == ["charlie", "bravo", "alpha"])
        await pilot.press("z")
        await until(pilot, lambda: names(app) == ["[sweep]", "charlie", "alpha", "[]", "bravo"])
        await shows(pilot, "sweep  2 runs · best 1.0000")
        app.screen.query_one(RunList).action_edge(-1)
        await pilot.press("j", "left")
        await until(pilot, lambda: names(app) == ["[sweep]", "[]", "bravo"])
        assert app.screen.query_one(RunList).heading is not None, "the cursor stays with the group it was in"
        await until(pilot, lambda: load_view().closed == {"sweep"})
    again = BackpropApp("runs")
    async with again.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: names(again) == ["[sweep]", "[]", "bravo"])
        await shows(pilot, "sort: name")
        again.screen.query_one(RunList).action_edge(-1)
        await pilot.press("enter")
        await until(pilot, lambda: names(again) == ["[sweep]", "charlie", "alpha", "[]", "bravo"])


async def test_a_click_on_a_title_sorts_by_it() -> None:
    for name, loss in (("bravo", 2.0), ("alpha", 3.0)):
        ended(name, loss=loss)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "alpha")
        at = screen_text(app).splitlines()[2].index("loss")
        for expected in (["bravo", "alpha"], ["alpha", "bravo"]):
            await pilot.click(offset=(at, 2))
            await until(pilot, lambda expected=expected: names(app) == expected)


async def test_tags_note_name_and_experiment_are_written_beside_the_run() -> None:
    run = ended("first")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 36)) as pilot:
        await shows(pilot, "first")
        await pilot.press("t")
        await shows(pilot, "Tags of first")
        await type_text(pilot, "good a")
        await pilot.press("comma", "enter")
        await shows(pilot, "can't be a tag")
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: read_notes(run).tags == ("good", "a"))
        await shows(pilot, "first #good #a")
        await pilot.press("n")
        await shows(pilot, "Note of first")
        await pilot.press("o", "n", "e", "backslash", "n", "t", "w", "o", "enter")
        await until(pilot, lambda: read_notes(run).note == "one\ntwo")
        await shows(pilot, "note        one")
        await pilot.press("R", *["backspace"] * 5)
        await type_text(pilot, "second")
        await pilot.press("enter")
        await shows(pilot, "second #good #a +")
        await pilot.press("e")
        await type_text(pilot, "sweep")
        await pilot.press("enter")
        await until(pilot, lambda: read_notes(run).experiment == "sweep")
        assert json.loads(run.spec_file.read_text())["name"] == "first"


async def test_ticked_runs_are_noted_and_archived_together() -> None:
    runs = [ended(name) for name in ("one", "two", "three")]
    change_notes(runs[0], lambda notes: notes.tagged(["old"]))
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "three")
        await pilot.press("s", "s", "home", "space", "space")
        await shows(pilot, "2 ticked")
        await pilot.press("t")
        await shows(pilot, "Tags of 2 ticked runs")
        await pilot.press("minus")
        await type_text(pilot, "old good")
        await pilot.press("enter")
        await until(pilot, lambda: read_notes(runs[0]).tags == ("good",) and read_notes(runs[2]).tags == ("good",))
        assert not notes_file(runs[1]).exists()
        await pilot.press("a")
        await until(pilot, lambda: names(app) == ["two"])
        await shows(pilot, "2 archived")
        await pilot.press("A")
        await until(pilot, lambda: names(app) == ["one", "three", "two"])
        await shows(pilot, "(archived)")
        await pilot.press("a")
        await until(pilot, lambda: not read_notes(runs[0]).archived and not read_notes(runs[2]).archived)
        await pilot.press("u", "c")
        await shows(pilot, "Comparing takes two runs or more.")


async def test_a_damaged_note_is_not_written_over() -> None:
    run = ended("first")
    notes_file(run).write_bytes(b"{")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "first")
        await pilot.press("a")
        await shows(pilot, "RUN_NOTES_UNREADABLE")
        assert notes_file(run).read_bytes() == b"{"


async def test_one_changed_run_repaints_a_few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    live = FakeRun(name="afloat").begin(total=100).train(3)
    for number in range(5):
        ended(f"run-{number}")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "3/100")
        screen, runs = app.screen, app.screen.query_one(RunList)
        assert isinstance(screen, RunsScreen)
        await pilot.pause(0.3)
        sent: list[Region] = []
        refresh = runs.refresh
        monkeypatch.setattr(
            runs, "refresh", lambda *regions, **words: (sent.extend(regions), refresh(*regions, **words))
        )
        screen.look()
        await pilot.pause(0.3)
        assert sent == [], "nothing changed, nothing is sent"
        live.train(1)
        screen.look()
        await shows(pilot, "4/100")
        assert len({region.y for region in sent}) == 1
        assert 0 < sum(region.width for region in sent) < 40
    live.let_go()


async def test_the_run_screen_calls_a_run_as_the_person_does() -> None:
    run = finished(5)
    change_notes(run, lambda notes: replace(notes, name="my own words"))
    app = BackpropApp("run", run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "my own words")
