"""What goes wrong while training: said in words, with nothing good overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.engine import failpoint
from backprop_tui.store import checkpoints
from tests.support.worker_driver import WorkerThread, new_run, train

pytestmark = pytest.mark.train


def arm(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(failpoint, "_armed", failpoint._read(text))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the bundled model to spoil."""
    place = tmp_path / "base"
    shutil.copytree(paths.demo_model_dir(), place)
    return place


def test_a_full_disk_pauses_the_run_until_there_is_room(monkeypatch):
    arm(monkeypatch, "worker.save.file:3:disk_full")
    run = new_run(steps=6, save_every=3)
    with WorkerThread(run) as worker:
        paused = worker.wait_for("state", state="paused")
        assert "Free some space" in paused["reason"]
        assert worker.of("fault")[0]["code"] == "DISK_FULL"
        assert not list(run.checkpoints.iterdir()), "nothing half written is left"
        assert worker.obeyed("resume")["ok"]
        assert worker.ended()["outcome"] == "completed"
    assert [info.step for info in checkpoints.list_checkpoints(run)] == [3, 6]


def test_a_second_stop_gives_up_saving_on_a_full_disk(monkeypatch):
    arm(monkeypatch, "worker.save.file:1:disk_full")
    with WorkerThread(new_run(steps=5000)) as worker:
        worker.wait_for("step", step=2)
        worker.command("stop")
        worker.wait_for("state", state="paused")
        worker.command("stop")
        end = worker.ended()
    assert (end["outcome"], end["checkpoint"]) == ("stopped", None)
    assert len(worker.of("command_done", name="stop")) == 2


def test_anything_else_is_named_and_the_trace_stays_in_the_log(monkeypatch, capfd):
    arm(monkeypatch, "worker.step:2:raise")
    worker = train()
    (fault,) = worker.of("fault")
    assert (fault["code"], fault["step"]) == ("TRAINING_FAILED", 2)
    assert "the failpoint worker.step was reached" in fault["cause"]
    assert worker.events[-1]["outcome"] == "failed"
    assert "Traceback" not in str(worker.events)
    assert "Traceback" in capfd.readouterr().err


def test_memory_that_does_not_suffice_asks_for_another_worker_and_says_what_to_set(monkeypatch):
    """The model asks for a tensor no machine has; torch itself refuses it."""
    import torch

    from backprop_tui.engine.worker.trainer import StepTrainer

    monkeypatch.setattr(StepTrainer, "floating_point_ops", lambda self, inputs: torch.empty(1 << 50))
    with WorkerThread(new_run(batch_size=4, accumulation=2)) as worker:
        retry = worker.wait_for("retry")
    assert (retry["why"], retry["step"]) == ("memory", 0)
    assert retry["fault"]["code"] == "OUT_OF_MEMORY"
    assert "batch_size to 2 and accumulation to 4" in retry["fault"]["next"]
    assert not worker.of("end")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda base: (base / "model.safetensors").write_bytes(b"not safetensors at all"), "MODEL"),
        (lambda base: (base / "model.safetensors").unlink(), "MODEL"),
        (lambda base: (base / "tokenizer.json").unlink(), "MODEL_NO_TOKENIZER"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(base, spoil, code):
    spoil(base)
    worker = train(base=str(base))
    (fault,) = worker.of("fault")
    assert fault["code"].startswith(code)
    assert "\n" not in fault["cause"]
    assert fault["next"]
    assert (worker.events[-1]["outcome"], worker.events[-1]["checkpoint"]) == ("failed", None)


def test_a_layer_the_model_does_not_have_is_named_with_the_nearest():
    (fault,) = train(targets="q_proj,k_porj").of("fault")
    assert fault["code"] == "TARGET_LAYER_UNKNOWN"
    assert "`k_proj`" in fault["next"]


def test_float16_without_a_gpu_is_refused_before_the_weights_are_read():
    (fault,) = train(dtype="float16", device="cpu").of("fault")
    assert fault["code"] == "DTYPE_UNAVAILABLE"


def test_named_layers_are_the_ones_trained():
    everything, few = train(steps=1), train(steps=1, targets="q_proj, v_proj")
    assert few.of("plan")[0]["trainable_parameters"] < everything.of("plan")[0]["trainable_parameters"]
    assert few.events[-1]["outcome"] == "completed"


def test_bfloat16_runs_on_a_cpu():
    worker = train(dtype="bfloat16", steps=6, warmup=0)
    assert worker.of("plan")[0]["dtype"] == "bfloat16"
    steps = worker.of("step")
    assert steps[-1]["loss"] < steps[0]["loss"]
