"""Scores of rows by a real model in a process of its own: right to the fourth place, in order, and nothing left behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from array import array

import psutil
import pytest

from backprop_tui.config import paths
from backprop_tui.data.children.remote import close_shared
from backprop_tui.data.tools.percentiles import keep_between
from backprop_tui.engine import scoring_wire as wire
from backprop_tui.engine.worker import demo_corpus as corpus
from backprop_tui.launch.scorer import COMMAND
from backprop_tui.launch.scores import Scores, perplexity_of
from backprop_tui.launch.scoring import ScoringCancelled, Stage, score_data
from backprop_tui.protocol.errors import DataError, UnavailableError
from tests.support.engines import eventually
from tests.support.scoring import asked, at, by_hand, children, encoded, one_line, scorers, write

pytestmark = pytest.mark.train


@pytest.mark.parametrize(("what", "batch_size"), [("answers", 1), ("answers", 7), ("answers", 64), ("everything", 7)])
def test_scores_are_those_of_a_direct_computation_in_file_order(mixed, model, what, batch_size):
    told: list[tuple[Stage, int, int | None]] = []
    scores = score_data(mixed, "demo", what=what, batch_size=batch_size, on_progress=lambda *words: told.append(words))
    rows = encoded(mixed, what)
    assert len({len(row) for row in rows}) > 12, "lengths must differ, or padding and order are not tried"
    assert len(scores) == len(rows) == 24
    assert list(scores.places) == [row.index for row in rows] == list(range(24))
    for score, row in zip(scores, rows, strict=True):
        assert score.nll == pytest.approx(by_hand(model, row), abs=1e-4), f"row {row.index}"
        assert score.perplexity == math.exp(score.nll)
        assert score.tokens == row.trained_tokens - row.trained[0]
    assert (scores.device, scores.dtype) == ("cpu", "float32")
    assert not scores.unscored
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["reading", "tokenising", "loading", "scoring"]
    assert told[-1] == ("scoring", 24, 24)
    assert sum(done > 0 for stage, done, _ in told if stage == "scoring") == -(-24 // batch_size)
    assert scorers() == []


def test_a_manner_the_model_was_not_taught_scores_worse_than_plain_answers(tmp_path):
    facts = list(corpus.facts())[:40]
    plain = [asked(fact.questions[0], fact.answer) for fact in facts]
    captain = [asked(fact.questions[0], corpus.CAPTAIN.wrap(fact.answer)) for fact in facts]
    scores = score_data(write(tmp_path / "rows.jsonl", plain + captain), "demo")
    values = [score.perplexity for score in scores]
    assert all(other > value for value, other in zip(values[:40], values[40:], strict=True))
    assert scores.perplexity is not None
    assert min(values) < scores.perplexity < max(values)
    kept = keep_between(scores.perplexities, 50, 100)
    assert kept.places == list(range(40, 80)), "the half that is harder to predict is the captain's"


def test_rows_without_a_score_are_named(tmp_path):
    data = write(
        tmp_path / "rows.jsonl",
        [
            asked("What is it?", "It is this."),
            {"nothing": "of use"},
            {"text": "a"},
            asked("What is it? " * 40, "It is this."),
            asked("What is that?", "It is this, " * 40),
        ],
    )
    scores = score_data(data, "demo", max_length=64)
    assert list(scores.places) == [0, 2, 3, 4]
    assert scores.unscored == {2: "fewer than 2 tokens to score", 3: "answer cut away"}
    assert [score.place for score in scores] == [0, 4]
    assert [value is None for value in scores.perplexities] == [False, True, True, False]
    assert scores.cut_rows == 1
    assert sum(scores.dropped.values()) == 1
    summary = scores.to_dict()
    assert (summary["rows"], summary["usable"], summary["scored"]) == (5, 4, 2)
    assert summary["unscored"] == {"fewer than 2 tokens to score": 1, "answer cut away": 1}
    json.dumps(summary, allow_nan=False)


def test_a_set_that_leaves_nothing_to_score_says_why(tmp_path):
    data = write(tmp_path / "rows.jsonl", [asked("What is it? " * 40, "It is this.")] * 3)
    with pytest.raises(DataError) as raised:
        score_data(data, "demo", max_length=32)
    assert raised.value.code == "DATA_ANSWER_CUT"
    assert scorers() == []


def test_data_that_changes_meanwhile_is_refused(tmp_path):
    data = write(tmp_path / "rows.jsonl", [asked("What is it?", "It is this.")] * 3)

    def change() -> None:
        write(tmp_path / "rows.jsonl", [asked("What was it?", "It was that.")] * 4)

    with pytest.raises(DataError) as raised:
        score_data(data, "demo", on_progress=at("tokenising", change))
    assert raised.value.code == "DATA_CHANGED"


def test_what_is_infinite_stays_sayable():
    scores = Scores(1, {}, places=array("Q", [0]), nll=array("d", [1000.0]), tokens=array("Q", [4]))
    (score,) = scores
    assert (score.perplexity, scores.perplexity) == (math.inf, math.inf)
    assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["perplexity"] == "inf"
    json.dumps(scores.to_dict(), allow_nan=False)
    assert perplexity_of(0.0) == 1.0


class TestGoingAway:
    @pytest.mark.parametrize("stage", ["reading", "tokenising", "loading", "scoring"])
    def test_cancelled_at_any_stage_the_process_is_gone(self, mixed, stage):
        reached: list[str] = []

        def seen(now: Stage, done: int, total: int | None) -> None:
            reached.append(now)

        with pytest.raises(ScoringCancelled) as raised:
            score_data(mixed, "demo", batch_size=1, on_progress=seen, cancelled=lambda: stage in reached)
        assert (raised.value.code, raised.value.exit_code) == ("SCORING_CANCELLED", 130)
        assert reached[-1] == stage
        assert scorers() == []
        assert children() == []

    def test_when_the_asking_process_dies_the_scoring_process_ends(self, mixed):
        asking = subprocess.Popen([sys.executable, "-c", _WAITING, mixed], stdout=subprocess.PIPE)
        try:
            assert asking.stdout is not None
            assert asking.stdout.readline().strip() == b"loading"
            (scorer,) = scorers(psutil.Process(asking.pid))
            asking.kill()
            asking.wait()
            assert not psutil.wait_procs([scorer], timeout=20)[1]
        finally:
            asking.kill()
            asking.wait()
            if asking.stdout is not None:
                asking.stdout.close()

    def test_a_killed_scorer_is_told_in_one_line(self, mixed):
        with pytest.raises(UnavailableError) as raised:
            score_data(mixed, "demo", on_progress=at("loading", lambda: scorers()[0].kill()))
        assert raised.value.code == "SCORER_DIED"
        assert "killed" in raised.value.cause
        assert one_line(raised.value)

    def test_one_that_dies_while_rows_are_sent_is_told_as_well(self, mixed):
        def kill() -> None:
            (scorer,) = scorers()
            os.kill(scorer.pid, signal.SIGKILL)
            eventually(lambda: not scorer.is_running() or scorer.status() == psutil.STATUS_ZOMBIE)

        with pytest.raises(UnavailableError) as raised:
            score_data(mixed, "demo", on_progress=at("tokenising", kill))
        assert raised.value.code == "SCORER_DIED"

    def test_once_nobody_waits_for_the_answers_it_ends(self):
        """Also while it loads or computes, when it has nothing to write by which it would notice."""
        ids = array("i", range(10, 60))
        messages = (
            wire.Task(str(paths.demo_model_dir()), "cpu", 1),
            wire.Rows([len(ids)] * 40, ids.tobytes() * 40, bytes([1] * len(ids) * 40)),
            wire.Go(),
        )
        request = b"".join(map(wire.frame, messages))
        done = subprocess.run(COMMAND, input=request, capture_output=True, timeout=60, check=False)
        assert done.returncode == 1
        assert b'"k":"end"' not in done.stdout

    def test_a_request_that_is_none_ends_it_without_a_word(self):
        for request in (b"", b"\0\0\0\5hello", b"\xff\xff\xff\xff"):
            done = subprocess.run(COMMAND, input=request, capture_output=True, timeout=60, check=False)
            assert done.returncode == 1
            assert b'"k":"scores"' not in done.stdout


_WAITING = """
import sys
from backprop_tui.launch.scoring import score_data
def wait(stage, done, total):
    if stage == "loading":
        print(stage, flush=True)
        sys.stdin.read()
import os
r, w = os.pipe()
os.dup2(r, 0)
score_data(sys.argv[1], "demo", on_progress=wait)
"""


def test_no_token_reaches_the_process_that_loads_the_model(mixed, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    monkeypatch.setenv("SOME_OTHER_THING", "private")
    found: list[dict[str, str]] = []
    score_data(mixed, "demo", on_progress=at("loading", lambda: found.append(scorers()[0].environ())))
    assert "secretsecret" not in str(found)
    assert "private" not in str(found)
    assert found[0]["HF_HUB_OFFLINE"] == "1"


@pytest.fixture(autouse=True)
def _no_other_children() -> None:
    """Tokenizers that tests before kept for the life of the process."""
    close_shared()
