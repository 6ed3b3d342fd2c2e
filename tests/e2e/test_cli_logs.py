"""`backprop logs` from outside: filters, tails, following, JSON, and nothing that acts on a terminal."""

from __future__ import annotations

import json
import subprocess

import pytest

from backprop_tui.cli.main import main
from backprop_tui.protocol import events as ev
from backprop_tui.store.layout import RunDir
from tests.support.runs import HOSTILE, FakeRun
from tests.support.terminal import BACKPROP


@pytest.fixture
def run() -> RunDir:
    fake = FakeRun().begin(total=10).train(1)
    fake.run.worker_log.write_text(f"Loading\n 10%|#\r100%|###\nWARNING: low on {HOSTILE}\n")
    fake.run.host_log.write_text("the host says\n")
    fake.add(ev.TELEMETRY, gpus=[], logs={"worker": fake.run.worker_log.stat().st_size, "host": 0})
    fake.add(ev.LOG, level="warn", source="trainer", message="the Needle")
    fake.add(ev.ALERT, code="EVAL_RISES", severity="error", cause="It rises.", next="Stop.", step=1)
    return fake.end().run


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    assert main(["logs", *argv]) == 0
    return capsys.readouterr().out.splitlines()


def test_filters(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    events = printed(capsys)
    assert "attempt 1 begins from the start" in "\n".join(events)
    assert [line.split(maxsplit=2)[1:] for line in printed(capsys, "--level", "warn")] == [
        ["warn", "trainer: the Needle"],
        ["error", "EVAL_RISES: It rises. Stop."],
    ]
    assert len(printed(capsys, "--level", "error")) == 1
    assert len(printed(capsys, "--source", "worker")) == 3
    assert printed(capsys, "--source", "host")[0].endswith("host: the host says")
    together = printed(capsys, "--source", "all")
    assert len(together) == len(events) + 4
    texts = "\n".join(together)
    assert texts.index("step=1 ") < texts.index("Loading") < texts.index("the Needle")
    assert [line[-10:] for line in printed(capsys, "--source", "all", "--grep", "nEEdle")] == ["the Needle"]


def test_the_tail_is_the_end_of_what_is_wanted(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    events = printed(capsys)
    assert (
        printed(capsys, "--tail", "3") == printed(capsys, "-n", "3") == printed(capsys, "--lines", "3") == events[-3:]
    )
    assert printed(capsys, "--tail", "0") == []
    assert printed(capsys, "--tail", "0", "--grep", "e") == []
    wanted = printed(capsys, "--source", "all", "--grep", "e")
    assert printed(capsys, "--source", "all", "--grep", "e", "--tail", "2") == wanted[-2:]


def test_raw_is_the_workers_output_made_harmless(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--raw")
    assert lines[:2] == ["Loading", "100%|###"]
    assert not any(sign in "".join(lines) for sign in "\x1b\x07\x9b\u202e\r")
    assert "[/INST]" in lines[2]


def test_json_is_an_object_per_line(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in printed(capsys, "--json", "--source", "all", "--level", "warn")]
    assert [row.get("kind", row.get("source")) for row in rows] == ["worker", "log", "alert"]
    assert rows[0]["level"] == "warn"
    assert rows[0]["wall"] is not None
    assert rows[2]["data"]["code"] == "EVAL_RISES"


def test_a_mistake_has_a_way_out(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--tail", "-1"]) == 2
    assert "--tail 50" in capsys.readouterr().err
    assert main(["logs", "--grep", ""]) == 2
    assert main(["logs", "--level", "loud"]) == 2


def test_following_prints_what_comes_and_ends_with_the_run() -> None:
    fake = FakeRun().begin(total=10)
    argv = [BACKPROP, "logs", "--follow", "--source", "all", "--level", "info", "--tail", "1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "running" in process.stdout.readline()
        fake.add(ev.LOG, level="warn", source="host", message="come later")
        assert "come later" in process.stdout.readline()
        fake.run.worker_log.write_text("raw words\n")
        assert "worker: raw words" in process.stdout.readline()
        fake.end()
        assert "completed" in process.stdout.readline()
        assert process.wait(20) == 0
