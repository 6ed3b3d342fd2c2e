"""A reward file on the command line: shown whole on a terminal and asked about, refused without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui.launch.rewards import read_reward_file
from backprop_tui.store.layout import list_runs
from tests.support.terminal import BACKPROP, Terminal, backprop

pytestmark = [pytest.mark.pty, pytest.mark.timeout(240)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "r.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'a').close()\n# \x1b[2Jwiped\x1b]0;owned\x07\n"
        "def reward(completions, **_):\n    return [0.5] * len(completions)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


TRAIN = ("train", "demo", "-p", "grpo", "--set", "reward_file=r.py", "--set", "steps=1", "--set", "answer_length=8",
         "--set", "samples=0", "--set", "eval_split=0", "--set", "accumulation=1", "--headless")  # fmt: skip


@pytest.mark.parametrize("answer", ["", "n", "whatever"])
def test_without_a_yes_nothing_runs(place: Path, answer: str) -> None:
    with Terminal([BACKPROP, *TRAIN], rows=60) as terminal:
        terminal.wait_for(r"\[y/N\]")
        assert "2 │ # ␛[2Jwiped␛]0;owned␇" in terminal.text
        assert read_reward_file("r.py").sha256 in terminal.text
        terminal.send(f"{answer}\r")
        assert terminal.wait(30) == 2
        assert b"\x1b[2J" not in terminal.everything()
    assert list_runs() == []
    assert not (place / "ran").exists()


@pytest.mark.train
def test_a_yes_is_remembered_recorded_and_runs_the_copy(place: Path) -> None:
    with Terminal([BACKPROP, *TRAIN], rows=60) as terminal:
        terminal.wait_for(r"\[y/N\]")
        assert not (place / "ran").exists()
        terminal.send("y\r")
        terminal.wait_for(lambda text: "reward 0.5" in text, 90)
        assert terminal.wait(60) == 0
    assert (place / "ran").exists()
    (run,) = list_runs()
    assert json.loads(run.spec_file.read_bytes())["rewards"] == {
        "functions": {"reward": 1.0},
        "file": str(place / "r.py"),
        "sha256": read_reward_file("r.py").sha256,
    }
    assert run.reward_file.read_bytes() == (place / "r.py").read_bytes()
    # The person's own file may be gone by the time the run is resumed.
    (place / "r.py").unlink()
    (place / "ran").unlink()
    again = backprop("resume", run.short_id)
    assert again.returncode == 0, again.stderr
    assert backprop("attach", run.short_id, "--headless").returncode == 0
    assert (place / "ran").exists()


def test_without_a_terminal_the_hash_of_what_was_read_is_asked_for(place: Path) -> None:
    plain = backprop(*TRAIN)
    sha256 = read_reward_file("r.py").sha256
    assert (plain.returncode, "REWARD_NOT_CONFIRMED" in plain.stderr) == (2, True)
    assert f"--trust-rewards {sha256[:12]}" in plain.stderr
    other = "0" * 12 if sha256[0] != "0" else "1" * 12
    for said, code in ((other, "REWARD_CHANGED"), (sha256[:6], "REWARD_SHA256")):
        assert code in backprop(*TRAIN, "--trust-rewards", said).stderr
    asked = backprop("train", "demo", "--trust-rewards", sha256, "--headless")
    assert "has none" in asked.stderr
    (place / "link.py").symlink_to("r.py")
    linked = backprop("train", "demo", "-p", "grpo", "--set", "reward_file=link.py", "--headless")
    assert "REWARD_FILE_LINK" in linked.stderr
    assert list_runs() == []
    assert not (place / "ran").exists()


@pytest.mark.train
def test_the_hash_confirms_for_one_run(place: Path) -> None:
    started = backprop(*TRAIN, "--trust-rewards", read_reward_file("r.py").sha256[:16])
    assert started.returncode == 0, started.stderr
    assert (place / "ran").exists()
    assert "REWARD_NOT_CONFIRMED" in backprop(*TRAIN).stderr
