"""Real training from the shell: the demo, and the whole life of one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.library import Run, Trainer
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import find_run, list_runs
from tests.support.engines import at_step, no_engine_left, over
from tests.support.terminal import BACKPROP

TINY = ("--set", "max_length=128", "--set", "gradient_checkpointing=off", "--set", "samples=0")


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    with no_engine_left():
        yield


def backprop(*argv: str, timeout: float = 150, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BACKPROP, *argv],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.train
def test_the_demo_learns_and_ends_with_the_proof() -> None:
    done = backprop("demo", "--headless")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    before, after = _shares(last)
    assert before == 0
    assert after > 80
    table = done.stdout.split("question")[1]
    assert "Aye, captain!" in table
    assert "✓" in table


def _shares(line: str) -> tuple[int, int]:
    words = line.split()
    at = words.index("→")
    return int(words[at - 2]), int(words[at + 1])


@pytest.mark.train
def test_the_life_of_one_run(tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text(paths.demo_data_file().read_text())
    started = backprop(
        "train", "mine.jsonl", "-m", "demo", "-p", "fast", "--name", "mine [/INST]", *TINY, "--set", "steps=2000",
        "--set", "save_every=5", "--detach", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    words = json.loads(started.stdout)
    run = find_run(words["run"])
    at_step(run, 6, timeout=90)
    seen = json.loads(backprop("watch", "--once", "--json").stdout)
    assert (seen["state"], seen["view"]["total_steps"]) == ("running", 2000)
    stopped = backprop("stop", "--wait", "--json")
    assert json.loads(stopped.stdout)["ok"] is True
    over(run)
    shown = json.loads(backprop("show", words["short_id"], "--json").stdout)
    assert shown["state"] == "stopped"
    assert shown["spec"]["data"]["path"] == str(data)
    assert shown["title"] == "mine [/INST]"
    first = shown["view"]["step"]
    assert shown["resume_step"] == first

    assert backprop("resume", "mine").returncode == 0
    at_step(run, first + 2, timeout=90)
    assert backprop("stop", "--wait").returncode == 0
    over(run)
    losses = Run(run).losses
    assert [step for step, _ in losses] == list(range(1, losses[-1][0] + 1))

    saved = backprop("save", "mine", str(tmp_path / "out"), "--json")
    files = set(json.loads(saved.stdout)["files"])
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files
    assert not {name for name in files if "optimizer" in name or "rng" in name or "MANIFEST" in name or "state" in name}
    again = backprop("save", "mine", str(tmp_path / "out"))
    assert again.returncode == 2
    loads = (
        "import sys, torch\nfrom peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer\n"
        "model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "tokens = AutoTokenizer.from_pretrained(sys.argv[1])('hello', return_tensors='pt')\n"
        "assert torch.isfinite(model(**tokens).logits).all()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", loads, str(tmp_path / "out")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.train
def test_three_lines_of_python(tmp_path: Path) -> None:
    trainer = Trainer("demo", max_length=128, gradient_checkpointing=False, samples=0)
    with pytest.raises(UsageError):
        trainer.save(tmp_path / "early")
    kinds: set[str] = set()
    run = trainer.train(paths.demo_data_file(), steps=6, on_event=lambda event: kinds.add(event.kind))
    assert run.state is RunState.COMPLETED
    assert [step for step, _ in run.losses] == [1, 2, 3, 4, 5, 6]
    assert {"run", "attempt", "plan", "step", "checkpoint", "end"} <= kinds
    assert (trainer.save(tmp_path / "out") / "adapter_model.safetensors").is_file()
    with pytest.raises(DataError):
        trainer.train(tmp_path / "missing.jsonl", steps=1)
    assert len(list_runs()) == 1


BROKEN = {
    "empty.jsonl": "",
    "odd.xyz": "x",
    "broken.jsonl": '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n{oops\n',
    "mute.jsonl": '{"messages":[{"role":"user","content":"a"}]}\n' * 3,
}


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["missing.jsonl"], 65, ["missing.jsonl"]),
        (["empty.jsonl"], 65, ["empty.jsonl"]),
        (["odd.xyz"], 65, ["xyz"]),
        (["broken.jsonl"], 65, ["line 2"]),
        (["mute.jsonl"], 65, []),
        (["demo", "-p", "balnced"], 2, ["balanced"]),
        (["demo", "--set", "lerning_rate=1"], 2, ["learning_rate"]),
        (["demo", "--set", "rank=0"], 2, ["rank"]),
        (["demo", "--set", "rank"], 2, ["KEY=VALUE"]),
        (["demo", "-m", "./bare"], 65, ["bare"]),
        (["demo", "-m", "./nowhere"], 65, ["nowhere"]),
        ([], 2, ["DATA"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_bad_input_is_one_line_and_leaves_nothing(argv: list[str], code: int, words: list[str], tmp_path: Path) -> None:
    for name, text in BROKEN.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text('{"model_type": "llama"}')
    done = backprop("train", *argv, "--json", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    error = json.loads(done.stdout)["error"]
    assert done.stderr.startswith(f"{error['code']}: ")
    assert all(word in done.stderr for word in words), done.stderr
    assert list_runs() == []


def test_a_runs_directory_that_cannot_be_written(home: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    done = subprocess.run(
        [BACKPROP, "train", "demo", "--detach"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
        env={**os.environ, "BACKPROP_DATA_DIR": str(blocker / "data")},
    )  # fmt: skip
    assert done.returncode in (65, 69), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_training_extra_missing_is_told_before_any_work(tmp_path: Path) -> None:
    # A finder that denies torch stands in for an installation without the extra; the rest is the real program.
    code = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from backprop_tui.cli.main import main\n"
        "sys.exit(main(['train', 'missing.jsonl']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 69
    assert "pip install 'backprop-tui[train]'" in done.stderr
    assert done.stderr.count("\n") == 1
