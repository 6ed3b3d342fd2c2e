"""What goes wrong while training: said in words, with nothing good overwritten."""

from __future__ import annotations

import json
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


def test_rows_can_not_be_attended_to_one_by_one_in_a_sliding_window(base):
    """Its own attention would let rows see each other, and the loss would look fine."""
    import torch
    from transformers import AutoConfig, MistralConfig, MistralForCausalLM

    there = AutoConfig.from_pretrained(base)
    config = MistralConfig(
        vocab_size=there.vocab_size, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=8, bos_token_id=there.bos_token_id, eos_token_id=there.eos_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        MistralForCausalLM(config).save_pretrained(base)
    (fault,) = train(base=str(base), padding_free=True).of("fault")
    assert fault["code"] == "ATTENTION_UNAVAILABLE"
    assert "Set padding_free to off" in fault["next"]
    assert train(base=str(base), steps=1, eval_split=0).ended()["outcome"] == "completed"


def test_a_model_that_is_nowhere_ends_in_one_line():
    (fault,) = train(base="nobody/there-is-no-such-model").of("fault")
    assert fault["code"] == "MODEL_DOWNLOAD_FAILED"
    assert "HF_TOKEN" in fault["next"]


def test_a_run_that_can_not_keep_what_its_rows_were_ends_before_it_trains():
    run = new_run()
    run.dataset_file.parent.rmdir()
    run.dataset_file.parent.write_text("no directory")
    with WorkerThread(run) as worker:
        worker.ended()
    (fault,) = worker.of("fault")
    assert fault["code"] == "RUN_NOT_WRITABLE"
    assert not worker.of("step")


def test_a_checkpoint_without_what_is_compared_with_is_not_resumed():
    worker = train(objective="dpo", steps=2, save_every=1, max_rows=24, eval_split=0)
    place = worker.run.checkpoint(1)
    (place / "reference.npz").unlink()
    manifest = json.loads((place / "MANIFEST.json").read_text())
    del manifest["files"]["reference.npz"]
    (place / "MANIFEST.json").write_text(json.dumps(manifest))
    with WorkerThread(worker.run, resume="checkpoints/step-000001") as again:
        again.ended()
    (fault,) = again.of("fault")
    assert fault["code"] == "REFERENCE_MISSING"
    assert not again.of("step")
