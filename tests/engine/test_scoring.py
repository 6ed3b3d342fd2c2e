"""Scores of rows by a real model in a process of its own: right to the fourth place, in order, and nothing left behind."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backprop_tui.config import paths
from backprop_tui.data.children.remote import RemoteTokenizer, close_shared
from backprop_tui.data.finding.places import resolve
from backprop_tui.data.selection import rows_at, scan
from backprop_tui.data.tools.percentiles import keep_between
from backprop_tui.engine import scoring_wire as wire
from backprop_tui.engine.worker import demo_corpus as corpus
from backprop_tui.launch.scorer import COMMAND
from backprop_tui.launch.scores import Scores, perplexity_of
from backprop_tui.launch.scoring import ScoringCancelled, Stage, score_data
from backprop_tui.protocol.errors import BackpropError, DataError, UnavailableError, UsageError
from backprop_tui.protocol.spec import DataPart
from tests.support.engines import eventually

pytestmark = pytest.mark.train


def write(place: Path, rows: list[dict[str, Any]]) -> str:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(place)


def asked(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Chats of one and more turns and plain text, of 10 to 200 tokens, the lengths in no order."""
    rows: list[dict[str, Any]] = []
    for index, fact in enumerate(list(corpus.facts())[:24]):
        row = asked(fact.questions[0], fact.answer + f" {fact.word}" * (index * 7 % 11))
        if index % 5 == 1:
            row["messages"] += asked(fact.questions[-1], fact.word)["messages"]
        rows.append({"text": fact.answer * (1 + index % 4)} if index % 6 == 2 else row)
    return write(tmp_path_factory.mktemp("rows") / "mixed.jsonl", rows)


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(paths.demo_model_dir(), dtype=torch.float32).eval()


def encoded(data: str, what: Any) -> list[Any]:
    files = resolve(data)
    part = DataPart()
    with RemoteTokenizer(paths.demo_model_dir()) as tokenizer:
        rows = list(rows_at(files, part, set(scan(files, part).kept)))
        return tokenizer.encode_many(rows, max_length=2048, train_on=what)


def by_hand(model: Any, row: Any) -> float:
    """One row alone, unpadded, the way the transformers documentation computes a loss."""
    import torch

    labels = [token if learnt else -100 for token, learnt in zip(row.ids, row.trained, strict=True)]
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([labels])).loss)


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
        assert raised.value.exit_code == 130
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


def at(stage: Stage, do: Callable[[], Any]) -> Callable[[Stage, int, int | None], None]:
    """Progress that does something once, when a stage is reached."""
    waiting = [do]

    def progress(now: Stage, done: int, total: int | None) -> None:
        if now == stage and waiting:
            waiting.pop()()

    return progress


def scorers(of: psutil.Process | None = None) -> list[psutil.Process]:
    return [child for child in (of or psutil.Process()).children() if COMMAND[-1] in child.cmdline()]


@pytest.fixture(autouse=True)
def _no_other_children() -> None:
    """Tokenizers that tests before kept for the life of the process."""
    close_shared()


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "backprop_tui.data.children" in child.cmdline()]


def one_line(error: BackpropError) -> bool:
    return bool(error.code and error.cause and error.next_step) and str(error).isprintable()


class TestModels:
    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        return shutil.copytree(paths.demo_model_dir(), tmp_path / "model")

    def refused(self, mixed: str, place: Path | str, **options: Any) -> BackpropError:
        with pytest.raises(BackpropError) as raised:
            score_data(mixed, str(place), **options)
        assert one_line(raised.value)
        assert scorers() == []
        return raised.value

    def change(self, place: Path, **words: Any) -> None:
        file = place / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **words}))

    def test_an_unknown_kind(self, mixed, copy):
        self.change(copy, model_type="nobody-knows-it\x1b[31m")
        error = self.refused(mixed, copy)
        assert (error.code, error.exit_code) == ("MODEL_LOAD_FAILED", 65)
        assert "worker.log" not in str(error)

    def test_weights_of_another_shape(self, mixed, copy):
        self.change(copy, hidden_size=64)
        assert self.refused(mixed, copy).code == "MODEL_LOAD_FAILED"

    def test_weights_that_are_missing_are_not_made_up(self, mixed, copy):
        self.change(copy, num_hidden_layers=4)
        error = self.refused(mixed, copy)
        assert error.code == "MODEL_LOAD_FAILED"
        assert "lacks" in error.cause
        assert "layers.3." in error.cause

    def test_pickled_weights(self, mixed, copy):
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        assert self.refused(mixed, copy).code == "MODEL_NO_SAFETENSORS"

    def test_the_models_own_code_is_not_run(self, mixed, copy):
        run = copy / "was-run"
        (copy / "evil.py").write_text(f"from pathlib import Path\nPath({str(run)!r}).touch()\nclass Evil: pass\n")
        self.change(copy, model_type="evil", auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"})
        assert self.refused(mixed, copy).code == "MODEL_LOAD_FAILED"
        assert not run.exists()

    def test_one_that_is_not_on_this_machine(self, mixed):
        error = self.refused(mixed, "nobody/has-this")
        assert (error.code, error.exit_code) == ("MODEL_NOT_HERE", 2)

    def test_without_a_chat_template_everything_can_be_scored_and_answers_cannot(self, tmp_path, copy, model):
        (copy / "chat_template.jinja").unlink()
        data = write(tmp_path / "rows.jsonl", [asked("What is it?", "It is this."), asked("And that?", "That too.")])
        assert self.refused(data, copy).code == "MODEL_NO_CHAT_TEMPLATE"
        scores = score_data(data, str(copy), what="everything", device="cpu")
        text = write(tmp_path / "text.jsonl", [{"text": "What is it?\nIt is this."}, {"text": "And that?\nThat too."}])
        for score, row in zip(scores, encoded(text, "everything"), strict=True):
            assert score.nll == pytest.approx(by_hand(model, row), abs=1e-4)

    def test_rows_are_cut_at_the_models_context(self, tmp_path, copy, model):
        self.change(copy, max_position_embeddings=32)
        data = write(tmp_path / "rows.jsonl", [{"text": "It is this and that. " * 20}, {"text": "It is this."}])
        scores = score_data(data, str(copy))
        assert scores.cut_rows == 1
        assert next(score.tokens for score in scores) == 31

    def test_a_gpu_that_is_not_there(self, mixed):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is one")
        error = self.refused(mixed, "demo", device="cuda")
        assert (error.code, error.exit_code) == ("GPU_UNAVAILABLE", 69)

    @pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_length": 1}], ids=str)
    def test_settings_that_make_no_sense(self, mixed, options):
        with pytest.raises(UsageError) as raised:
            score_data(mixed, "demo", **options)
        assert raised.value.code == "SCORING_INVALID"


class TestMemory:
    """The real model, refusing batches of more tokens than a real device would have room for."""

    @pytest.fixture
    def store(self) -> Any:
        from backprop_tui.engine.worker.rows import RowStore

        class Row:
            def __init__(self, length: int) -> None:
                self.ids = list(range(10, 10 + length))
                self.trained = [True] * length

        return RowStore([Row(length) for length in (30, 4, 40, 2, 5, 40, 6, 39, 40, 1, 38, 5)])

    @pytest.fixture
    def room(self, model: Any) -> Iterator[Callable[[int], list[tuple[int, int]]]]:
        """Gives the model room for so many tokens; the shapes it was asked for are collected."""
        import torch

        hooks = []

        def limit(tokens: int) -> list[tuple[int, int]]:
            shapes: list[tuple[int, int]] = []

            def refuse(module: Any, positional: Any, named: dict[str, Any]) -> None:
                rows, longest = named["input_ids"].shape
                shapes.append((rows, longest))
                if rows * longest > tokens:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

            hooks.append(model.register_forward_pre_hook(refuse, with_kwargs=True))
            return shapes

        yield limit
        for hook in hooks:
            hook.remove()

    def test_the_batch_is_halved_and_the_scores_are_the_same(self, model, store, room):
        from backprop_tui.engine.worker.likelihood import score_rows

        def all_of(**options: Any) -> dict[int, tuple[float | None, int]]:
            parts = score_rows(model, store, **options)
            return {row: (nll, tokens) for part in parts for row, nll, tokens in part}

        before = all_of(batch_size=1)
        assert sorted(before) == list(range(12))
        assert [row for row, (nll, _) in before.items() if nll is None] == [3, 9]
        shapes, told = room(100), []
        after = all_of(batch_size=8, on_smaller=lambda *words: told.append(words))
        assert told == [(4, 40), (2, 40)]
        assert shapes[:3] == [(8, 40), (4, 40), (2, 40)], "the longest rows come first"
        assert shapes[-1] == (4, 6), "short rows share a batch again"
        assert after.keys() == before.keys()
        for row, (nll, tokens) in before.items():
            assert after[row] == (None if nll is None else pytest.approx(nll, abs=1e-5), tokens)

    @pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set on Linux only")
    def test_a_process_that_may_not_grow_makes_its_batches_smaller_and_says_so(self, tmp_path):
        rows = [{"text": "It is this and that, not those. " * 60 + str(number)} for number in range(96)]
        data = write(tmp_path / "rows.jsonl", rows)

        def limit() -> None:
            (scorer,) = scorers()
            most = scorer.memory_info().vms + (100 << 20)
            scorer.rlimit(psutil.RLIMIT_AS, (most, most))

        tight = score_data(data, "demo", device="cpu", batch_size=48, on_progress=at("scoring", limit))
        assert tight.notes
        assert "made smaller" in tight.notes[0]
        assert len(list(tight)) == 96
        easy = score_data(data, "demo", device="cpu", batch_size=4)
        assert not easy.notes
        assert [score.nll for score in tight] == pytest.approx([score.nll for score in easy], abs=1e-4)

    def test_when_not_even_one_row_fits_it_says_so(self, model, store, room):
        from backprop_tui.engine.worker.likelihood import score_rows

        room(39)
        with pytest.raises(UnavailableError) as raised:
            list(score_rows(model, store, batch_size=8))
        assert raised.value.code == "OUT_OF_MEMORY"
        assert "40 tokens" in raised.value.cause

    def test_other_errors_are_not_taken_for_it(self, model, store):
        from backprop_tui.engine.worker.likelihood import score_rows

        def fail(*_: Any) -> None:
            raise RuntimeError("shapes cannot be multiplied")

        hook = model.register_forward_pre_hook(fail)
        try:
            with pytest.raises(RuntimeError, match="multiplied"):
                list(score_rows(model, store, batch_size=8))
        finally:
            hook.remove()

    def test_tokens_the_model_does_not_know_are_refused_before_it_sees_them(self, model):
        from backprop_tui.engine.worker.likelihood import score_rows
        from backprop_tui.engine.worker.rows import RowStore

        class Row:
            ids = (5, 6, 1024)
            trained = (True, True, True)

        with pytest.raises(DataError) as raised:
            list(score_rows(model, RowStore([Row()]), batch_size=1))
        assert raised.value.code == "MODEL_VOCABULARY_SMALL"


def test_only_the_columns_that_count_are_looked_up_in_the_vocabulary(model, mixed):
    """Answers after long questions would otherwise cost memory for every token of the question."""
    import torch

    from backprop_tui.engine.worker.likelihood import summed_nll
    from backprop_tui.engine.worker.rows import Collator, RowStore, Sequences

    seen: list[tuple[int, ...]] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    try:
        ids = list(range(10, 110))
        row = type("Row", (), {"ids": ids, "trained": [False] * 97 + [True] * 3})()
        batch = Collator(Sequences.plain(RowStore([row])), 0).batch([0])
        (total,) = summed_nll(model, batch)
    finally:
        hook.remove()
    assert seen == [(1, 3, 128)]
    with torch.no_grad():
        whole = model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    assert total / 3 == pytest.approx(float(whole), abs=1e-4)
