"""pin, unpin, prune, show and the refusals of fork, from outside; a fork that trains is in the handbook's commands."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from backprop_tui.cli.main import main
from backprop_tui.cli.prune import parse_size
from backprop_tui.launch import fork
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.lineage import Parent
from tests.support.disk import no_room
from tests.support.runs import FakeRun
from tests.unit.test_retention import save

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run() -> RunDir:
    """A stopped run with five checkpoints, the second one best."""
    fake = FakeRun(name="first", hold=False)
    fake.run.spec_file.write_text(json.dumps(with_overrides(RunSpec(name="first"), {"keep": 2}).model_dump()))
    fake.begin(total=60)
    for _ in range(5):
        fake.train(10).measure(best=fake.step == 20)
        save(fake.run, fake.step)
    return fake.end("stopped").run


def ask(capsys: Capture, *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def asked(capsys: Capture, *argv: str) -> Any:
    code, out, err = ask(capsys, *argv, "--json")
    assert code == 0, (out, err)
    return json.loads(out)


def steps(run: RunDir) -> list[int]:
    return [info.step for info in checkpoints.list_checkpoints(run)]


def test_pins_are_set_shown_and_taken_off(run: RunDir, capsys: Capture) -> None:
    assert asked(capsys, "pin", "first", "10") == {"run": run.id, "step": 10, "pinned": [10]}
    assert asked(capsys, "pin", "first", "best")["pinned"] == [10, 20]
    shown = {one["step"]: one for one in asked(capsys, "show", "first")["checkpoints"]}
    assert [shown[10]["stays"], shown[20]["stays"], shown[30]["stays"]] == [["pinned"], ["best", "pinned"], []]
    assert shown[50]["stays"] == ["newest"]
    assert "best, pinned" in ask(capsys, "show", "first")[1]
    assert asked(capsys, "unpin", "first", "10")["pinned"] == [20]
    code, _, said = ask(capsys, "unpin", "first", "10")
    assert (code, said.split(":")[0]) == (65, "NOT_PINNED")
    code, _, said = ask(capsys, "pin", "first", "15")
    assert (code, said.split(":")[0]) == (65, "CHECKPOINT_UNKNOWN")
    assert "10, 20, 30, 40, 50" in said
    assert ask(capsys, "pin", "first", "soon")[0] == 2


def test_prune_says_first_and_deletes_then(run: RunDir, capsys: Capture) -> None:
    asked(capsys, "pin", "first", "10")
    told = asked(capsys, "prune", "first", "--dry-run")
    assert [gone["step"] for gone in told["runs"][0]["removed"]] == [30]
    assert steps(run) == [10, 20, 30, 40, 50], "a dry run deletes nothing; the run's own keep is 2"
    code, out, said = ask(capsys, "prune", "first", "--keep", "1")
    assert code == 0
    assert out.count("is deleted: older than those kept") == 2
    assert "2 checkpoints" in said
    assert steps(run) == [10, 20, 50]
    assert "Nothing to delete." in ask(capsys, "prune", "first", "--keep", "1")[2]


def test_prune_by_size_over_all_runs(run: RunDir, capsys: Capture) -> None:
    size = checkpoints.list_checkpoints(run)[0].bytes
    assert size is not None
    told = asked(capsys, "prune", "--all", "--size", f"{3 * size}")
    assert [(gone["step"], gone["why"]) for gone in told["runs"][0]["removed"]] == [(10, "size"), (30, "size")]
    assert told["runs"][0]["bytes_left"] == 3 * size
    assert steps(run) == [20, 40, 50]


def test_prune_leaves_everything_where_pins_cannot_be_read(run: RunDir, capsys: Capture) -> None:
    run.pins_file.write_text("?")
    assert asked(capsys, "prune", "first", "--keep", "1", "--dry-run")["runs"][0]["removed"] == []
    code, _, said = ask(capsys, "prune", "first", "--keep", "1")
    assert code == 0
    assert "nobody can say what is pinned" in said
    assert steps(run) == [10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    "argv", [["--keep", "0"], ["--size", "much"], ["first", "--all"], ["--size", "-1"]], ids=" ".join
)
def test_prune_refuses_what_it_cannot_mean(argv: list[str], run: RunDir, capsys: Capture) -> None:
    assert ask(capsys, "prune", *argv)[0] == 2
    assert steps(run) == [10, 20, 30, 40, 50]


def test_sizes_as_people_write_them() -> None:
    assert [parse_size(text) for text in ("20GB", "500 mb", "1.5GiB", "7", "2k", "3TB")] == [
        20 * 10**9, 500 * 10**6, 3 << 29, 7, 2000, 3 * 10**12,
    ]  # fmt: skip
    for text in ("", "GB", "1e9", "-5", "5 parsecs"):
        with pytest.raises(UsageError):
            parse_size(text)


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--at", "15"], "CHECKPOINT_UNKNOWN", "10, 20, 30, 40, 50"),
        (["--set", "rank=8"], "FORK_SETTING", "32 → 8"),
        (["--set", "method=full"], "FORK_SETTING", "method"),
        (["--keep-optimizer", "--set", "batch_size=2"], "FORK_SETTING", "Fork without --keep-optimizer"),
        (["--set", "lr=-1"], "SETTING_INVALID", "learning_rate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_fork_that_makes_no_sense_is_refused_and_leaves_nothing(
    argv: list[str], code: str, words: str, run: RunDir, capsys: Capture
) -> None:
    before = sorted(os.listdir(run.path.parent))
    exit_code, out, said = ask(capsys, "fork", "first", *argv, "--detach")
    assert exit_code in (2, 65)
    assert out == ""
    assert said.startswith(code)
    assert words in said
    assert sorted(os.listdir(run.path.parent)) == before


def test_without_an_optimiser_there_is_none_to_keep(run: RunDir, capsys: Capture) -> None:
    aside = checkpoints.staging(run, 60)
    (aside / "adapter_model.safetensors").write_bytes(b"weights")
    checkpoints.publish(aside, run.checkpoint(60), step=60, fingerprint={})
    before = sorted(os.listdir(run.path.parent))
    code, _, said = ask(capsys, "fork", "first", "--at", "60", "--keep-optimizer", "--detach")
    assert (code, said.split(":")[0]) == (2, "FORK_WITHOUT_OPTIMIZER")
    assert "Fork without --keep-optimizer" in said
    assert sorted(os.listdir(run.path.parent)) == before


def test_a_damaged_step_is_refused_by_name(run: RunDir, capsys: Capture) -> None:
    os.truncate(run.checkpoint(30) / "adapter_model.safetensors", 5)
    code, _, said = ask(capsys, "fork", "first", "--at", "30", "--detach")
    assert (code, said.split(":")[0]) == (65, "CHECKPOINT_INVALID")
    assert "adapter_model.safetensors" in said


def test_a_fork_without_room_for_its_checkpoint_is_refused_and_leaves_nothing(
    run: RunDir, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_another_disk(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", on_another_disk)
    large = checkpoints.staging(run, 60)
    (large / "adapter_model.safetensors").write_bytes(bytes(4 << 20))
    checkpoints.publish(large, run.checkpoint(60), step=60, fingerprint={})
    before = sorted(os.listdir(run.path.parent))
    with no_room(2 << 20):
        code, _, said = ask(capsys, "fork", "first", "--at", "60", "--detach")
    assert (code, said.split(":")[0]) == (69, "FORK_NOT_WRITTEN")
    assert "Free some space" in said
    assert sorted(os.listdir(run.path.parent)) == before


@pytest.mark.parametrize(("way", "action"), [("--headless", "stop"), ("--detach", "auto")])
def test_a_fork_whose_lines_are_followed_waits_for_nobody(
    way: str, action: str, run: RunDir, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork, "launch_engine", lambda *_, **__: None)
    ask(capsys, "fork", "first", "--at", "20", "--name", "child", way)
    assert find_run("child").read_spec()["recovery"]["nan_action"] == action


def test_show_tells_lineage_and_kind(run: RunDir, capsys: Capture) -> None:
    fake = FakeRun(name="child", hold=False)
    parent = Parent(run.id, 20, "optimizer", 0.5).to_dict()
    fake.run.spec_file.write_text(json.dumps({**RunSpec(name="child").model_dump(), "parent": parent}))
    fake.begin(total=60, resume=20)
    fake.add(ev.RESUME, kind="warm", step=20, differences=[], skipped=[], parent=parent)
    fake.train(2).end("stopped")
    text = ask(capsys, "show", "child")[1]
    assert f"fork of      {run.short_id} at step 20, optimiser kept" in text
    assert f"Warm start: a run of its own that began with the weights of {run.short_id} at step 20" in text
    assert fake.run.short_id in ask(capsys, "show", "first")[1]
    told = asked(capsys, "show", "child")
    assert told["parent"] == parent
    assert told["view"]["resumed"]["kind"] == "warm"
    assert asked(capsys, "show", "first")["forks"] == [fake.run.id]
    assert "warm" in ask(capsys, "logs", "child")[1].lower()
