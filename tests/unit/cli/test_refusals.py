"""What the shell refuses, by its code: each with its exit code, its cause and a next step, and nothing is started."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backprop_tui.cli.main import main
from backprop_tui.config import paths
from backprop_tui.config.settings import dotenv_file, settings_file
from backprop_tui.launch.rewards import read_reward_file, remember
from backprop_tui.protocol.errors import DataError, UnavailableError, UsageError
from backprop_tui.store.checkpoints import publish, staging
from backprop_tui.store.delivery import copy_model
from backprop_tui.store.layout import create_run, list_runs
from backprop_tui.store.notes import alone
from backprop_tui.store.pins import pin
from backprop_tui.store.queue import Queue, QueueState, fresh
from backprop_tui.store.sweeps import sweeps_dir
from tests.support.disk import no_room
from tests.support.models import make_model
from tests.support.runs import FakeRun

Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command; its exit code and what it told of it."""

    def run(*argv: str) -> tuple[int, str]:
        code = main(list(argv))
        return code, capsys.readouterr().err

    return run


SWEEP = ("sweep", "demo", "-p", "demo", "--over")


@pytest.mark.parametrize(
    ("argv", "exit_code", "code", "words"),
    [
        (("trian", "demo"), 2, "COMMAND_UNKNOWN", "Did you mean `backprop train`?"),
        (("runs", "--sort", "los"), 2, "USAGE", "'loss'"),
        (("prune", "RUN", "--size", "much"), 2, "SIZE_INVALID", "Write 20GB"),
        (("runs", "compare", "RUN", "RUN"), 2, "COMPARE_NEEDS_TWO", "Name another"),
        (("runs", "note", "RUN", "x" * 20_000), 2, "NOTE_INVALID", "Shorten it."),
        (("set", "lr=much", "RUN"), 2, "LEARNING_RATE_INVALID", "Give a number"),
        (("set", "lr=2", "RUN"), 2, "LEARNING_RATE_INVALID", "Give a number"),
        (("set", "epochs=3", "RUN"), 2, "SETTING_FIXED", "Only lr can."),
        (("runs", "experiment", "RUN", "x" * 500), 2, "EXPERIMENT_INVALID", ""),
        (("join", "RUN", "--node", "1"), 2, "RUN_NOT_SHARED", "--set nodes=2"),
        (("show", "2026"), 2, "RUN_AMBIGUOUS", "Type more letters"),
        (("sweep", "show"), 2, "SWEEP_NONE", "--over"),
        ((*SWEEP, "lr"), 2, "SWEEP_AXIS", "lr="),
        ((*SWEEP, "lr=1e-4,much"), 2, "SETTING_INVALID", ""),
        ((*SWEEP, "lr=1e-4..1e-3"), 2, "SWEEP_AXIS", "optuna"),
        ((*SWEEP, "seed=" + ",".join(map(str, range(1001)))), 2, "SWEEP_TOO_MANY", "Vary less"),
        ((*SWEEP, "lr=1e-4,2e-4", "--metric", "?"), 2, "SWEEP_METRIC", "Take "),
        ((*SWEEP, "lr=1e-4,2e-4", "--metric", "eval_loss", "--set", "eval_split=0"), 2, "SWEEP_METRIC", "eval_split"),
        ((*SWEEP, "lr=1e-4,2e-4", "--name", "a/b"), 2, "SWEEP_NAME", "Take letters"),
        (("train", "demo", "-p", "demo", "--queue", "--gpu", "97"), 2, "QUEUE_GPU", "Leave --gpu out"),
    ],
)
def test_it_is_refused_by_name(said: Said, argv: tuple[str, ...], exit_code: int, code: str, words: str) -> None:
    runs = [create_run({"name": "one"}), create_run({"name": "two"})]
    told = said(*(runs[0].id if word == "RUN" else "20" if word == "2026" else word for word in argv))
    assert told[0] == exit_code, told[1]
    assert told[1].startswith(f"{code}: ")
    assert words in told[1]
    assert len(list_runs()) == 2
    assert Queue().entries() == []


def test_several_machines_are_no_queues(said: Said) -> None:
    code, words = said("train", "demo", "--queue", "--set", "nodes=2", "--set", "rendezvous=127.0.0.1:29500")
    assert (code, words.startswith("QUEUE_NODES: ")) == (2, True), words
    assert "--slurm" in words


def test_a_run_whose_spec_is_damaged_can_be_looked_at_and_not_forked(said: Said) -> None:
    fake = FakeRun().begin().train(4)
    fake.end()
    for damage in (b"{oops", b"[]"):
        fake.run.spec_file.write_bytes(damage)
        assert said("show", fake.run.id)[0] == 0
        code, words = said("fork", fake.run.id)
        assert (code, words.startswith("RUN_SPEC_UNREADABLE: ")) == (65, True), words


def test_a_live_run_is_not_resumed_and_one_that_ended_is_not_joined(said: Said) -> None:
    fake = FakeRun().begin().train(4)
    fake.journal.sync()
    code, words = said("resume", fake.run.id)
    assert (code, words.startswith("RUN_LIVE: ")) == (75, True), words
    fake.end()
    spec = {"name": "together", "devices": {"devices": 1, "nodes": 2, "rendezvous": "127.0.0.1:29500"}}
    fake.run.spec_file.write_text(json.dumps({"format": 1, **spec}))
    code, words = said("join", fake.run.id, "--node", "1")
    assert (code, words.startswith("RUN_OVER: ")) == (2, True), words
    assert "Resume it on its first machine." in words
    code, words = said("join", fake.run.id, "--node", "2")
    assert (code, words.startswith("NODE_UNKNOWN: ")) == (2, True), words


def test_an_entry_that_could_not_start_has_no_place(said: Said) -> None:
    entry = Queue().add([fresh("mishap", {"name": "mishap"})])[0]
    Queue().put(replace(entry, state=QueueState.FAILED))
    code, words = said("queue", "move", "mishap", "first")
    assert (code, words.startswith("QUEUE_FAILED: ")) == (75, True), words
    assert f"backprop queue now {entry.short_id}" in words


def test_a_queue_that_is_kept_or_can_not_be_written_is_told(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    entry = queue.add([fresh("one", {"name": "one"})])[0]
    monkeypatch.setattr("backprop_tui.store.notes._PATIENCE", 0.05)
    with alone(queue.root / "queue.lock"):
        code, words = said("queue", "remove", entry.id)
    assert (code, words.startswith("QUEUE_BUSY: ")) == (75, True), words
    (queue.root / "queue.lock").unlink()
    (queue.root / "queue.lock").mkdir()
    code, words = said("queue", "remove", entry.id)
    assert (code, words.startswith("QUEUE_NOT_WRITABLE: ")) == (69, True), words
    assert [one.id for one in queue.entries()] == [entry.id]


def test_pins_and_confirmations_that_can_not_be_written_are_told(tmp_path: Path) -> None:
    run = create_run({"name": "one"})
    run.checkpoint(4).mkdir(parents=True)
    run.pins_file.with_name("pins.lock").mkdir()
    with pytest.raises(UnavailableError) as caught:
        pin(run, 4)
    assert caught.value.code == "RUN_PINS_NOT_WRITABLE"
    (tmp_path / "r.py").write_text("def reward(completions, **_):\n    return [0.5] * len(completions)\n")
    (paths.data_dir() / "trusted-rewards.json").mkdir()
    with pytest.raises(UnavailableError) as caught:
        remember(read_reward_file(str(tmp_path / "r.py")))
    assert caught.value.code == "DATA_DIR_NOT_WRITABLE"


def test_a_size_can_not_be_chosen_for_a_model_whose_shape_is_unknown(said: Said, tmp_path: Path) -> None:
    model = make_model(tmp_path / "odd", config=True)
    code, words = said("train", "demo", "-m", str(model), "--set", "micro_batch=auto", "--detach")
    assert (code, words.startswith("MICRO_BATCH_UNKNOWN: ")) == (69, True), words
    assert list_runs() == []


def test_a_copy_goes_nowhere_where_something_is(tmp_path: Path) -> None:
    source, out = tmp_path / "step-000004", tmp_path / "out"
    for place in (source, out):
        place.mkdir()
    (source / "adapter_config.json").write_text("{}")
    (source / "optimizer.pt").write_text("state")
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        copy_model(source, out)
    assert caught.value.code == "OUT_EXISTS"
    assert [file.name for file in out.iterdir()] == ["thesis.txt"]
    (out / "thesis.txt").unlink()
    copy_model(source, out)
    assert [file.name for file in out.iterdir()] == ["adapter_config.json"]
    with pytest.raises(DataError) as missing:
        copy_model(source, out / "adapter_config.json" / "deeper")
    assert missing.value.code == "OUT_NOT_WRITABLE"


def test_a_sweep_that_can_not_be_read_is_told(said: Said) -> None:
    file = sweeps_dir() / "hunt.json"
    file.parent.mkdir(parents=True)
    file.write_text("{oops")
    code, words = said("sweep", "show", "hunt")
    assert (code, words.startswith("SWEEP_UNREADABLE: ")) == (65, True), words


def test_settings_that_can_not_be_read_or_written_are_told(said: Said, home: Path) -> None:
    file = settings_file()
    file.mkdir(parents=True)
    code, words = said("config")
    assert (code, words.startswith("CONFIG_UNREADABLE: ")) == (69, True), words
    file.rmdir()
    with no_room():
        code, words = said("config", "set", "theme", "gruvbox")
    assert (code, words.startswith("CONFIG_NOT_WRITABLE: ")) == (69, True), words
    assert not file.exists()


def test_a_checkpoint_that_can_not_be_deleted_is_told(said: Said) -> None:
    fake = FakeRun().begin().train(8)
    for step in (4, 8):
        staged = staging(fake.run, step)
        (staged / "adapter_model.safetensors").write_bytes(b"weights")
        publish(staged, fake.run.checkpoint(step), step=step, fingerprint={})
    fake.end()
    fake.run.pins_lock.mkdir()
    code, words = said("prune", fake.run.id, "--keep", "1")
    assert (code, words.startswith("CHECKPOINT_NOT_REMOVED: ")) == (69, True), words
    assert fake.run.checkpoint(4).is_dir()


def test_a_damaged_preset_and_an_open_file_of_secrets_are_told(
    said: Said, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (home / "config" / "presets").mkdir()
    (home / "config" / "presets" / "mine.toml").write_text("title = [")
    code, words = said("train", "demo", "-p", "mine", "--detach")
    assert (code, "PRESET_INVALID: " in words or "PRESET_UNKNOWN: " in words) == (2, True), words
    assert "PRESET_INVALID: " in said("presets")[1]
    monkeypatch.chdir(tmp_path)
    dotenv_file().write_text("BACKPROP_THEME=x\n")
    dotenv_file().chmod(0o644)
    code, words = said("train", "demo", "--detach")
    assert (code, words.startswith("ENV_FILE_OPEN: ")) == (69, True), words
    assert "chmod 600" in words
