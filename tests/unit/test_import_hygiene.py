"""What comes along with each entry, looked at in a process of its own: the promise behind every quick start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

TRAINING = {"torch", "transformers", "peft", "trl", "datasets", "accelerate", "bitsandbytes"}
SCREEN = {"textual", "rich"}
PYDANTIC = {"pydantic", "pydantic_settings"}
DATA = {"pyarrow", "tokenizers", "jinja2", "numpy"}
SENSORS = {"pynvml", "psutil"}


def loaded(code: str) -> set[str]:
    """Top-level packages in `sys.modules` after running `code`."""
    probe = f"import json, sys\n{code}\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("backprop_tui", TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        ("backprop_tui.library", TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        ("backprop_tui.cli.main", TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        ("backprop_tui.store.summary", TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        ("backprop_tui.launch.session", TRAINING | SCREEN | PYDANTIC | DATA),
        ("backprop_tui.launch.start", TRAINING | SCREEN | PYDANTIC | DATA),
        ("backprop_tui.engine.host", TRAINING | SCREEN | PYDANTIC | DATA),
        ("backprop_tui.launch.queue_runner", TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        ("backprop_tui.protocol.spec", TRAINING | SCREEN | DATA),
        ("backprop_tui.config.settings", TRAINING | SCREEN | DATA),
        ("backprop_tui.hardware.doctor", TRAINING | SCREEN | DATA | PYDANTIC),
        ("backprop_tui.data.looking.inspection", TRAINING | SCREEN),
        ("backprop_tui.data.training_set", TRAINING | SCREEN),
        ("backprop_tui.app", TRAINING | SCREEN | PYDANTIC | DATA),
        ("backprop_tui.app.app", TRAINING | DATA),
    ],
)
def test_a_module_brings_nothing_heavy(module: str, forbidden: set[str]) -> None:
    assert not loaded(f"import {module}") & forbidden


@pytest.mark.parametrize(
    ("argv", "forbidden"),
    [
        (["--help"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["--version"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["runs"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["show"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["watch", "--once"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["logs"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["stop"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["presets"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["train", "--help"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["completions", "bash"], TRAINING | SCREEN | PYDANTIC | DATA | SENSORS),
        (["config"], TRAINING | SCREEN | DATA),
        (["doctor"], TRAINING | SCREEN | DATA),
        (["data", "inspect", "demo"], TRAINING | SCREEN),
        (["train", "demo", "--set", "rnak=3"], TRAINING | SCREEN | DATA),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_command_brings_nothing_heavy(argv: list[str], forbidden: set[str]) -> None:
    assert not loaded(f"from backprop_tui.cli.main import main\nmain({argv!r})") & forbidden
