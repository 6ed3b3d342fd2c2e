"""A worker imports what its run needs, undisturbed: bitsandbytes stays out where nothing is quantised and is there where
something is, and Python's collector stands still meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.config.presets import preset_spec
from backprop_tui.hardware.extras import installed_version
from tests.support.worker_driver import WorkerProcess, new_run

_LOOK = """
import importlib.util, json, sys
from backprop_tui.engine.worker.libraries import leave_out
from backprop_tui.protocol.fields import validate_spec
leave_out(validate_spec(json.loads(sys.argv[1])))
print(importlib.util.find_spec(sys.argv[2]) is not None)
"""

_IMPORT = """
import gc, json, os, sys
from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.engine.worker.libraries import import_libraries
from backprop_tui.protocol.errors import UsageError
objective, own, on = json.loads(sys.argv[1])
looks = []
gc.callbacks.append(lambda phase, told: looks.append(told))
before = gc.get_freeze_count()
if not on:
    gc.disable()
try:
    with EventSink(os.open(os.devnull, os.O_WRONLY)).phase("load") as phase:
        import_libraries(phase, objective, own_process=own)
    code = ""
except UsageError as error:
    code = error.code
kept, on_again, seen = gc.get_freeze_count() - before, gc.isenabled(), len(looks)
print(json.dumps({"looks": seen, "kept": kept, "on": on_again, "trl": "trl" in sys.modules, "code": code}))
"""


def _imported(objective: str, *, own_process: bool, on: bool = True) -> dict[str, Any]:
    words = [sys.executable, "-c", _IMPORT, json.dumps([objective, own_process, on])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _there(library: str = "bitsandbytes", /, **settings: Any) -> bool:
    words = json.dumps(preset_spec("demo", overrides=settings).model_dump(mode="json"))
    done = subprocess.run([sys.executable, "-c", _LOOK, words, library], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """A model whose weights were saved quantised, as far as its configuration says."""
    place = tmp_path / "quantised"
    shutil.copytree(paths.demo_model_dir(), place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "bitsandbytes"}}))
    return place


def test_it_is_there_for_whoever_needs_it(quantised: Path) -> None:
    assert not _there(method="lora")
    assert not _there(method="full")
    assert _there(method="qlora")
    assert _there(method="full", optimizer="adamw_bnb_8bit")
    assert _there(base=str(quantised))
    assert _there(base="somebody/not-on-this-machine"), "nobody knows yet how its weights were saved"
    assert _there(base=str(quantised / "nowhere")), "the error is told by what loads the model"
    assert not _there("deepspeed", devices=2)
    if installed_version("deepspeed") is not None:
        assert _there("deepspeed", devices=2, parallel="zero2")


@pytest.mark.train
def test_a_real_worker_of_a_plain_run_never_loads_it() -> None:
    with WorkerProcess(new_run(steps=2, samples=0, eval_every=0, save_every=0)) as worker:
        worker.wait_for("step", step=1)
        maps = Path(f"/proc/{worker.process.pid}/maps").read_text()
        assert worker.wait() == 0, worker.words()
    assert "libtorch" in maps
    assert "bitsandbytes" not in maps


@pytest.mark.train
def test_the_collector_stands_still_while_libraries_are_imported_and_is_as_before_afterwards() -> None:
    own = _imported("sft", own_process=True)
    assert own["looks"] == 0, "it looked through the libraries while they were imported"
    assert own["kept"] > 100_000, "it will look through them again in every full collection"
    assert own["on"]
    assert own["trl"], "what the objective needs is imported with the rest"

    shared = _imported("sft", own_process=False)
    assert (shared["kept"], shared["on"]) == (0, True), "others live in this process too"
    assert not _imported("sft", own_process=False, on=False)["on"], "whoever turned it off keeps it off"


@pytest.mark.train
def test_the_collector_comes_back_when_an_import_fails() -> None:
    failed = _imported("alchemy", own_process=False)
    assert (failed["code"], failed["on"]) == ("OBJECTIVE_UNKNOWN", True)
