"""Every method with the keyboard alone: a preset is chosen, its own settings are there, it trains, its figures are shown.

One program launches one real run after the other, as a person does who tries methods out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config.presets import load_presets
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import list_runs
from backprop_tui.store.summary import load_summary
from tests.support.engines import no_engine_left
from tests.support.terminal import BACKPROP, Terminal

pytestmark = [pytest.mark.train, pytest.mark.pty, pytest.mark.timeout(300)]

ENTER, BACK_TAB, CLEAR_LINE, HOME, UP = "\r", "\x1b[Z", "\x15", "\x1b[H", "\x1b[A"
#: High enough for the section of a method, and for its figures.
ROWS = 50


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with no_engine_left():
        yield


def find(setting: str) -> str:
    """Keys that go to a setting."""
    return f"/{setting}{ENTER}"


def typed(setting: str, value: str) -> str:
    """Keys that give a setting a value."""
    return find(setting) + ENTER + CLEAR_LINE + value + ENTER


#: What keeps every run short.
SHORT = typed("steps", "2") + typed("samples", "0") + typed("accumulation", "1") + typed("batch_size", "2")


@dataclass(frozen=True)
class Method:
    """What a person chooses, then sees.

    Attributes:
        preset: chosen in the list; changes made before stay. keys: what is done in its form then, ending in its section.
        there, gone: rows the form has then, and has not. run: what its run is called. figures: rows of the Run screen once it
            has ended.
        spec: what run.json holds, by part and setting.
    """

    preset: str
    keys: str
    there: tuple[str, ...]
    gone: tuple[str, ...]
    run: str
    figures: tuple[str, ...]
    spec: dict[str, Any]


#: Of DPO and KTO; Adam has a beta 1 and a beta 2.
_BETA = r"   beta  +\d"
_TASK = find("objective")
_PAIRS = (r"reward margin +-?\d", r"pairs right +\d+ %")
PREFERENCES = (
    Method("dpo", _TASK, (r"objective +dpo", _BETA), ("SimPO", "odds weight", "wanted weight", "packing"), "demo-dpo-lora-r32",
           _PAIRS, {"task.objective": "dpo"}),
    Method("kto", _TASK, (r"objective +kto", _BETA, r" wanted weight +1", "unwanted weight +1"), ("SimPO", "odds weight"),
           "demo-kto-lora-r32", (r"reward margin +-?\d", r"reward chosen +-?\d", r"KL estimate +\d"), {"task.objective": "kto"}),
    Method("simpo", _TASK, (r"SimPO beta +2", "SimPO margin +1"), (_BETA, "odds weight"), "demo-simpo-lora-r32",
           _PAIRS, {"task.objective": "simpo"}),
    Method("reward", find("center_rewards") + "l", (r"objective +reward", r"● +centre scores +0\.02"), (_BETA, "odds weight"),
           "demo-reward-lora-r32", _PAIRS, {"task.objective": "reward", "task.center_rewards": 0.02}),
    # By its setting instead of its preset.
    Method("balanced", _TASK + ENTER + "jjj" + ENTER, ("sft → orpo", r"odds weight +0\.1"), (_BETA, "SimPO", "packing"),
           "demo-orpo-lora-r32", (r"log odds +-?\d", r"imitation loss +\d"), {"task.objective": "orpo"}),
)  # fmt: skip
_LEARNT = (r"train loss +\d", r"accuracy +\d")
IMITATIONS = (
    Method("full", find("method"), (r"method +full",), (" rank  ", " alpha  ", "DoRA"), "demo-full",
           _LEARNT, {"model.method": "full"}),
    Method("pretrain", find("packing"), (r"packing +on", r"train on +everything"), ("SimPO",), "demo-lora-r128",
           _LEARNT, {"data.packing": True}),
    Method("reasoning", find("max_length"), (r"max length +8,192",), ("odds weight",), "demo-lora-r32",
           _LEARNT, {"data.max_length": 8192}),
    Method("quality", find("adapter_start") + "l", (r"● +adapter start +pissa",), ("base bits",), r"demo-lora-r\d+",
           _LEARNT, {"lora.adapter_start": "pissa"}),
    Method("fast", typed("lora_plus", "8") + find("rslora") + "l" + find("dora") + "l",
           (r"● +DoRA +on", r"● +rsLoRA +on", r"● +LoRA\+ ratio +8"), ("adapter start",), "demo-lora-r16",
           _LEARNT, {"lora.dora": True, "lora.rslora": True, "lora.lora_plus": 8.0}),
)  # fmt: skip


def launched(app: Terminal, method: Method, *, confirm: bool = False) -> None:
    """From Tune to a finished run, by keys."""
    app.wait_for(r"\[2 Tune\]")
    app.send(BACK_TAB)
    app.wait_for(r"▸ preset ")
    app.send(HOME + "j" * list(load_presets()).index(method.preset) + ENTER)
    app.wait_for(rf"╭ preset ─+ {method.preset} ─")
    app.wait_for(r"▸ settings ")
    app.send(method.keys)
    for row in method.there:
        app.wait_for(row)
    app.wait_for(lambda text: not any(re.search(row, form_of(text)) for row in method.gone))
    app.wait_for(r"checks ─+ ready ─", timeout=30)
    app.send("g")
    app.wait_for(r"Launch this run")
    app.send(ENTER)
    if confirm:
        app.wait_for(r"Run this reward file\?")
        app.wait_for(r"1 │ def reward_short\(completions")
        app.send(UP + ENTER)
    # Of this run: the screen may still show the one before.
    app.wait_for(rf"\[3 Run\].* {method.run}\b.* ✓ completed", timeout=90)
    for row in method.figures:
        app.wait_for(row)
    app.send("2")


def form_of(text: str) -> str:
    """The column of the settings."""
    return "\n".join(line[30:80] for line in text.splitlines())


def all_launched(methods: Sequence[Method], *, confirm: bool = False) -> None:
    with Terminal([BACKPROP], rows=ROWS) as app:
        app.wait_for(r"\[1 Data\]")
        app.send("2")
        app.wait_for(r"▸ settings ")
        app.send(SHORT)
        for method in methods:
            launched(app, method, confirm=confirm)
        app.wait_for(r"\[2 Tune\]")
        app.send("q")
        assert app.wait() == 0
    runs = list_runs()[::-1]
    assert [load_summary(run).state for run in runs] == [RunState.COMPLETED] * len(methods)
    for run, method in zip(runs, methods, strict=True):
        spec = json.loads(run.spec_file.read_bytes())
        assert spec["preset"] == method.preset
        assert spec["optim"]["steps"] == 2
        found = {name: spec[name.split(".")[0]][name.split(".")[1]] for name in method.spec}
        assert found == method.spec


def test_preferences_and_scores() -> None:
    all_launched(PREFERENCES)


def test_imitation_by_all_weights_and_by_adapters_of_every_kind() -> None:
    all_launched(IMITATIONS)


def test_rewards_of_a_file_that_is_shown_and_confirmed(tmp_path: Path) -> None:
    file = tmp_path / "r.py"
    file.write_text("def reward_short(completions, **_):\n    return [-float(len(str(c))) for c in completions]\n")
    grpo = Method(
        "grpo",
        typed("reward_file", str(file)) + typed("answer_length", "8") + find("generations") + "hh",
        (r"objective +grpo", r"● +answer length +8", r"● +group size +4", r"KL weight"),
        (_BETA, "odds weight", "packing"),
        "demo-grpo-lora-r32",
        (r"reward +-\d", r"reward spread +\d", r"answer length +\d|answers cut +\d", r"Done\. Reward -\d"),
        {"grpo.generations": 4},
    )
    all_launched([grpo], confirm=True)
    (run,) = list_runs()
    assert run.reward_file.read_bytes() == file.read_bytes()
