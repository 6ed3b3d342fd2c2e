"""`backprop runs`: lists, filters, sorts, notes and compares, in words and in JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from backprop_tui.cli.completions import candidates
from backprop_tui.cli.main import main
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.notes import notes_file, read_notes
from tests.support.runs import HOSTILE, FakeRun, finished


def printed(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["runs", *argv]) == code, capsys.readouterr()
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    return json.loads(printed(capsys, *argv, "--json"))


def with_spec(name: str, rank: int, loss: float) -> RunDir:
    fake = FakeRun(name=name, hold=False)
    words = {
        "name": name,
        "model": {"base": "demo", "method": "lora"},
        "lora": {"rank": rank},
        "data": {"path": "a.jsonl"},
    }
    fake.run.spec_file.write_text(json.dumps(words))
    return fake.begin(total=4).train(4).measure(loss=loss).end().run


def test_listing_filters_sorts_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    for rank, loss in ((8, 2.0), (16, 1.0), (32, 1.5)):
        with_spec(f"rank-{rank}", rank, loss)
    assert [run["title"] for run in as_json(capsys, "--sort", "best")] == ["rank-16", "rank-32", "rank-8"]
    assert [run["title"] for run in as_json(capsys, "--sort", "best", "--reverse", "--limit", "1")] == ["rank-8"]
    assert [run["title"] for run in as_json(capsys, "--where", "rank>8 best<1.2")] == ["rank-16"]
    listed = printed(capsys, "--where", "state:completed model~demo")
    assert len(listed.splitlines()) == 4
    assert "1.000" in listed
    assert printed(capsys, "--where", "loss<0") == ""
    view = as_json(capsys, "--where", "rank:16")[0]["view"]
    assert (view["step"], view["best_eval_loss"]) == (4, 1.0)


def test_a_wrong_filter_or_column_is_one_line_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--where", "los<1"]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"FILTER_UNKNOWN: Column 1: .* Did you mean `loss`\?\n", said)
    error = json.loads(printed(capsys, "--where", "x age<7", "--json", code=2))["error"]
    assert (error["code"], error["detail"]) == ("FILTER_VALUE", {"column": 7})
    assert main(["runs", "--sort", "weight"]) == 2
    assert main(["runs", "tga", "x"]) == 2
    assert "tag" in capsys.readouterr().err


def test_what_is_noted_is_kept_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    run = finished(4, name="first")
    other = finished(4, name="other")
    assert as_json(capsys, "tag", run.short_id, "good", "paper")[0]["tags"] == ["good", "paper"]
    assert as_json(capsys, "untag", run.short_id, "paper")[0]["tags"] == ["good"]
    assert printed(capsys, "note", run.short_id) == ""
    printed(capsys, "note", run.short_id, "line one\nline", "two")
    assert printed(capsys, "note", run.short_id) == "line one\nline two\n"
    assert as_json(capsys, "rename", run.short_id, "second", "name")[0]["name"] == "second name"
    assert as_json(capsys, "experiment", "second name", "sweep")[0]["experiment"] == "sweep"
    assert as_json(capsys, "archive", run.short_id)[0]["archived"] is True
    assert [found["id"] for found in as_json(capsys)] == [other.id]
    assert {found["id"] for found in as_json(capsys, "--all")} == {run.id, other.id}
    (found,) = as_json(capsys, "--where", "archived tag:good")
    assert (found["title"], found["tags"], found["experiment"]) == ("second name", ["good"], "sweep")
    assert "#good" in printed(capsys, "--all")
    printed(capsys, "unarchive", run.short_id)
    printed(capsys, "note", run.short_id, "")
    printed(capsys, "rename", run.short_id, "")
    assert read_notes(run).to_dict() == {
        "name": "", "tags": ["good"], "note": "", "experiment": "sweep", "archived": False
    }  # fmt: skip
    assert not notes_file(other).exists()


def test_an_action_on_all_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [with_spec(f"rank-{rank}", rank, 1.0) for rank in (8, 16, 32)]
    assert len(as_json(capsys, "archive", "--where", "rank>=16")) == 2
    assert [read_notes(run).archived for run in runs] == [False, True, True]
    assert as_json(capsys, "tag", "--where", "archived", "old")[0]["tags"] == ["old"]
    assert as_json(capsys, "archive", "--where", "rank:999") == []


@pytest.mark.parametrize(
    "argv", [["tag"], ["tag", "RUN"], ["untag", "RUN"], ["rename", "RUN"], ["experiment", "RUN"], ["archive"],
             ["archive", "RUN", "--where", "x"], ["tag", "RUN", "a,b"], ["tag", "nosuchrun", "x"], ["compare", "RUN"],
             ["archive", "RUN", "nosuchrun"], ["rename", "RUN", "a\nb"]]
)  # fmt: skip
def test_a_mistake_changes_nothing(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run = finished(4, name="first")
    assert main(["runs", *(run.short_id if word == "RUN" else word for word in argv)]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert len(said.strip().splitlines()) == 1
    assert not notes_file(run).exists()


def test_comparing_in_words_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [with_spec(f"rank-{rank}", rank, 3.0 - rank / 32) for rank in (8, 16, 32, 64, 48)]
    found = as_json(capsys, "compare", *(run.short_id for run in runs))
    assert [run["best"] for run in found["runs"]] == [2.75, 2.5, 2.0, 1.0, 1.5]
    assert found["settings"] == {"rank": [8, 16, 32, 64, 48]}
    assert found["explained"]["outcome"] == "best"
    assert found["explained"]["factors"][0]["settings"] == ["rank"]
    assert found["explained"]["factors"][0]["verdict"] == "stands out"
    assert [entry["differences"] for entry in found["data"]] == [None] * 4
    said = printed(capsys, "compare", runs[0].short_id, runs[1].short_id)
    assert "Two runs explain nothing" in said
    assert "didn't note its data" in said
    assert len(as_json(capsys, "compare", "--where", "rank>8")["runs"]) == 4


def test_data_that_differs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [with_spec("one", 8, 1.0), with_spec("two", 8, 1.0)]
    for run, size in zip(runs, (100, 120), strict=True):
        file = {"name": "a.jsonl", "bytes": size, "sha256": f"{size:064}"}
        run.write_dataset({"sources": [{"sources": [{"files": [file]}], "usable": size, "rows_sha256": str(size)}]})
    found = as_json(capsys, "compare", *(run.short_id for run in runs))
    assert found["data"][0]["differences"][0] == "a.jsonl changed (100 bytes then, 120 now)"
    runs[1].write_dataset(runs[0].read_dataset() or {})
    assert as_json(capsys, "compare", *(run.short_id for run in runs))["data"][0]["differences"] == []


def test_hostile_texts_stay_texts(capsys: pytest.CaptureFixture[str]) -> None:
    run = FakeRun(name=HOSTILE, hold=False).begin().train(1).run
    notes_file(run).write_text(json.dumps({"note": HOSTILE, "tags": [HOSTILE], "experiment": HOSTILE}))
    for argv in ((), ("note", run.short_id), ("compare", run.short_id, create_run({"name": HOSTILE}).short_id)):
        shown = printed(capsys, *argv)
        assert "\x1b" not in shown
        assert "\x9b" not in shown


def test_actions_and_runs_are_offered_to_the_shell() -> None:
    run = create_run({"name": "x"})
    assert candidates(["runs", "unt"]) == ["untag"]
    assert candidates(["runs", "tag", ""]) == [run.short_id]
    assert "best" in candidates(["runs", "--sort", "b"])
