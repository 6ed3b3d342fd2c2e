"""Real runs on changed data: refused, with the difference named; unchanged data goes on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.cli.dataset_words import dataset_facts
from backprop_tui.config.paths import demo_model_dir
from backprop_tui.data.versions.compare import diff_data
from backprop_tui.data.versions.identify import fingerprint_data
from backprop_tui.launch.preflight import check_and_record
from backprop_tui.launch.start import start_run
from backprop_tui.protocol.errors import RunFailed
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import RunDir, create_run
from tests.support.worker_driver import Driver, WorkerThread, new_run, quick_spec

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]

ROWS = [f"Say {number}" for number in range(24)]
#: Two steps before the checkpoint that is resumed from, and two after it.
SHORT = {"steps": 4, "save_every": 2, "eval_split": 0.1}


def write(path: Path, questions: list[str]) -> Path:
    path.write_text("".join(json.dumps({"question": text, "answer": f"Aye, {text}."}) + "\n" for text in questions))
    return path


def launched(**settings: Any) -> RunDir:
    """A run as `start_run` makes it, without its engine."""
    resolved, record = check_and_record(quick_spec(**settings))
    return create_run(resolved.model_dump(mode="json"), launched=record)


def trained(run: RunDir) -> Driver:
    with WorkerThread(run) as worker:
        assert worker.ended()["outcome"] == "completed"
    return worker


def resumed(run: RunDir) -> Driver:
    with WorkerThread(run, resume="checkpoints/step-000002") as worker:
        worker.ended()
    return worker


def refusal(worker: Driver) -> dict[str, Any]:
    (fault,) = worker.of("fault")
    assert worker.of("end")[0]["outcome"] == "failed"
    assert not worker.of("step")
    assert "\n" not in fault["cause"]
    return dict(fault)


@pytest.fixture(scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def past(_place: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, Path, Path]:
    """A finished run with a checkpoint after two steps, its data, and its model."""
    place = tmp_path_factory.mktemp("past")
    model = place / "model"
    shutil.copytree(demo_model_dir(), model)
    data = write(place / "rows.jsonl", ROWS)
    run = launched(path=str(data), base=str(model), **SHORT)
    trained(run)
    return run, data, model


@pytest.fixture
def again(past: tuple[RunDir, Path, Path], tmp_path: Path) -> tuple[RunDir, Path, Path]:
    """A copy of that run over copies of its data and its model, to be changed."""
    run, data, model = past
    shutil.copytree(model, tmp_path / "model")
    shutil.copy(data, tmp_path / data.name)
    return edited(run, path=str(tmp_path / data.name)), tmp_path / data.name, tmp_path / "model"


def edited(run: RunDir, *, base: Path | None = None, **data: Any) -> RunDir:
    spec = run.read_spec()
    spec["data"].update(data)
    if base is not None:
        spec["model"]["base"] = str(base)
    other = create_run(spec, run.path.parent)
    shutil.copytree(run.checkpoints, other.checkpoints, dirs_exist_ok=True)
    return other


def test_what_was_trained_on_is_kept_and_shown(
    past: tuple[RunDir, Path, Path], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backprop_tui.cli.main import main

    run, data, model = past
    stored = run.read_dataset()
    assert stored is not None
    spec = run.read_spec()
    part = RunSpec.model_validate(spec).data
    assert fingerprint_data(str(data), part, seed=spec["optim"]["seed"], model_dir=model) == stored
    assert run.dataset_file.stat().st_mode & 0o777 == 0o600
    assert not list(run.artifacts.glob(".tmp*"))
    assert diff_data(stored, str(data)).same
    facts = dict(dataset_facts(stored))
    assert facts["dataset"] == stored["id"]
    assert facts["split"].startswith("22 to learn, 2 held out")
    assert stored["template"][:12] in facts["template"]
    monkeypatch.setenv("BACKPROP_DATA_DIR", str(run.path.parent.parent))
    assert main(["show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == stored
    assert main(["show", run.id]) == 0
    shown = capsys.readouterr().out
    for words in (stored["id"], "rows.jsonl", "24 of 24 rows usable", "seed 42, eval_split 0.1"):
        assert words in shown


def test_the_plan_tells_the_id(tmp_path: Path) -> None:
    run = new_run(path=str(write(tmp_path / "rows.jsonl", ROWS)), steps=1)
    worker = trained(run)
    stored = run.read_dataset()
    assert stored is not None
    assert worker.of("plan")[0]["dataset"] == stored["id"]


def test_unchanged_data_goes_on(again: tuple[RunDir, Path, Path]) -> None:
    run, _, model = again
    worker = resumed(edited(run, base=model))
    assert worker.of("end")[0]["outcome"] == "completed"
    assert [event["step"] for event in worker.of("step")] == [3, 4]


def test_one_changed_row_is_named_by_file_and_line(again: tuple[RunDir, Path, Path]) -> None:
    run, data, _ = again
    write(data, [*ROWS[:9], "Sing 9", *ROWS[10:]])
    fault = refusal(resumed(run))
    assert fault["code"] == "RESUME_DATA_CHANGED"
    assert fault["cause"].startswith("Since step-000002 the training rows ")
    assert "changed: rows.jsonl changed (" in fault["cause"]
    assert '24 rows then, 24 now (1 added, 1 removed); new is rows.jsonl line 10: "Sing 9↵' in fault["cause"]
    assert fault["detail"]["difference"]["rows"]["common"] == 23


def test_added_rows_are_counted(again: tuple[RunDir, Path, Path]) -> None:
    run, data, _ = again
    before = data.stat().st_size
    write(data, [*ROWS, "Say 24", "Say 25", "Say 26"])
    cause = refusal(resumed(run))["cause"]
    assert f"rows.jsonl changed ({before:,} bytes then, {data.stat().st_size:,} now)" in cause
    assert "24 rows then, 27 now (3 added, 0 removed); new is rows.jsonl line 25" in cause


def test_another_template_is_named(again: tuple[RunDir, Path, Path]) -> None:
    run, _, model = again
    template = model / "chat_template.jinja"
    text = template.read_text()
    template.write_text(text + "{# other #}")
    cause = refusal(resumed(edited(run, base=model)))["cause"]
    assert "the chat template changed: chat template was " in cause
    assert "rows" not in cause.partition(":")[2], "the rows are as they were"


def test_another_filter_is_named(again: tuple[RunDir, Path, Path]) -> None:
    run, _, _ = again
    filtered = "answer != 'Aye, Say 3.'"
    cause = refusal(resumed(edited(run, filter=filtered)))["cause"]
    assert f"setting filter was (empty), is {filtered}" in cause
    assert "24 rows then, 23 now (0 added, 1 removed)" in cause


def test_another_seed_is_named(again: tuple[RunDir, Path, Path]) -> None:
    run, _, _ = again
    spec = run.read_spec()
    spec["optim"]["seed"] = 7
    other = create_run(spec, run.path.parent)
    shutil.copytree(run.checkpoints, other.checkpoints, dirs_exist_ok=True)
    cause = refusal(resumed(other))["cause"]
    assert "the seed changed" in cause
    assert "seed was 42, is 7" in cause


def test_data_that_changed_since_the_launch_is_refused_before_it_is_tokenised(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", ROWS)
    run = launched(path=str(data), steps=1)
    write(data, ROWS[:-1])
    with WorkerThread(run) as worker:
        worker.ended()
    fault = refusal(worker)
    assert fault["code"] == "DATA_CHANGED"
    assert "rows.jsonl had " in fault["cause"]
    assert "24 rows then, 23 now" in fault["cause"]
    assert not worker.of("phase", phase="tokenise")
    assert run.read_dataset() is None


def test_a_change_that_hides_its_size_and_time_is_found_before_a_step_is_taken(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", ROWS)
    run, state = launched(path=str(data), steps=1), data.stat()
    with data.open("r+b") as file:
        file.write(data.read_bytes().replace(b"Say 7", b"Sea 7"))
    os.utime(data, ns=(state.st_atime_ns, state.st_mtime_ns))
    with WorkerThread(run) as worker:
        worker.ended()
    fault = refusal(worker)
    assert fault["code"] == "DATA_CHANGED"
    assert "rows.jsonl has other content" in fault["cause"]
    assert run.read_dataset() is None


def test_stale_pins_are_warned_of_once(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", ROWS)
    data.with_name("rows.jsonl.dvc").write_text(f"outs:\n- md5: {'0' * 32}\n  hash: md5\n  path: rows.jsonl\n")
    worker = trained(launched(path=str(data), steps=1))
    (warning,) = [event for event in worker.of("log", level="warn") if "DATA_DVC_STALE" in event["message"]]
    assert "rows.jsonl differs from what rows.jsonl.dvc pins" in warning["message"]


def test_a_real_launch_notes_its_data(tmp_path: Path) -> None:
    from backprop_tui.library import Run

    data = write(tmp_path / "rows.jsonl", ROWS)
    run = start_run(quick_spec(path=str(data), steps=1))
    try:
        Run(run).wait(120)
    except RunFailed as error:
        pytest.fail(str(error))
    noted, stored = run.read_launched(), run.read_dataset()
    assert noted is not None
    assert stored is not None
    assert noted["train"]["rows"] == 24
    (file,) = noted["train"]["sources"][0]["files"]
    assert file["sha256"] == stored["sources"][0]["sources"][0]["files"][0]["sha256"]
