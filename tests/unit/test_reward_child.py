"""The process of the reward functions, alone: what it gives, what it refuses, and what it survives."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.rewards.builtin import BUILT_IN
from backprop_tui.engine.worker.rewarding import Answered, Rewarder, RewardSource
from backprop_tui.protocol.errors import RunFailed

TEXTS = ("four", "five!", "six")
ANSWERED = Answered(
    [[{"role": "user", "content": "How many?"}]] * 3,
    TEXTS,
    [[1], [1, 2], [3]],
    [{"answer": "four"}, {"answer": "5"}, {}],
)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[object]:
    made: list[Rewarder] = []

    def make(source: str, *names: str, timeout: float = 20.0, sha256: str = "") -> Rewarder:
        file = tmp_path / "rewards.py"
        file.write_text(source)
        digest = sha256 or hashlib.sha256(file.read_bytes()).hexdigest()
        made.append(
            Rewarder(RewardSource(dict.fromkeys(names or ("reward",), 1.0), file, digest), timeout=timeout, seed=7)
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def refused(action: object) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        action()  # type: ignore[operator]
    return caught.value


def test_functions_get_what_trl_gives_them(asked) -> None:
    source = """
def reward(prompts, completions, completion_ids, answer, **kwargs):
    assert prompts[0] == [{"role": "user", "content": "How many?"}] and not kwargs, kwargs
    return [float(a is not None and c[0]["content"] == a) + len(i) for c, a, i in zip(completions, answer, completion_ids)]
def reward_narrow(completions):
    return [None, float("nan"), True]
async def reward_async(completions, **kwargs):
    return (len(c[0]["content"]) for c in completions)
"""
    rewarder = asked(source, "reward", "reward_narrow", "reward_async", "contains_answer")
    assert rewarder.rewards(ANSWERED, 1) == [[2.0, 2.0, 1.0], [None, None, 1.0], [4.0, 5.0, 3.0], [1.0, 0.0, None]]


def test_random_rewards_are_the_same_when_a_step_is_repeated(asked) -> None:
    rewarder = asked("import random\ndef reward(completions, **_): return [random.random() for _ in completions]\n")
    first = rewarder.rewards(ANSWERED, 3)
    assert rewarder.rewards(ANSWERED, 4) != first
    assert rewarder.rewards(ANSWERED, 3) == first


@pytest.mark.parametrize(
    ("body", "words", "sample"),
    [
        ("return [1.0]", "gave 1 rewards for 3 completions", None),
        ("return [1 / (len(c[0]['content']) - 5) for c in completions]", "ZeroDivisionError", 1),
        ("raise SystemExit(3)", "SystemExit: 3", 0),
        ("return None", "gave NoneType, not a list", None),
        ("return [1.0, 'two', 3.0]", "gave str, not a number", 1),
        ("return [1.0, 2.0, float('inf')]", "infinite", 2),
        ("raise ValueError('\\x1b]0;title\\x07')", "ValueError: ␛]0;title␇", 0),
    ],
)
def test_a_function_that_fails_is_named_with_step_and_sample(asked, body: str, words: str, sample: int | None) -> None:
    rewarder = asked(f"def reward(completions, **kwargs):\n    {body}\n")
    error = refused(lambda: rewarder.rewards(ANSWERED, 12))
    assert error.code == "REWARD_FAILED"
    assert words in error.cause
    assert "Reward function reward at step 12" in error.cause
    assert error.detail == {"function": "reward", "step": 12, "sample": sample}


def test_a_column_the_rows_lack_is_named(asked) -> None:
    rewarder = asked("def reward(completions, tests): return [0.0] * 3\n")
    assert "asks for tests" in refused(lambda: rewarder.rewards(ANSWERED, 1)).cause


def test_an_endless_function_ends_the_run_and_not_the_patience(asked) -> None:
    rewarder = asked("def reward(completions, **_):\n    while True: pass\n", timeout=0.5)
    started = time.monotonic()
    error = refused(lambda: rewarder.rewards(ANSWERED, 5))
    assert (error.code, time.monotonic() - started < 10) == ("REWARD_TIMED_OUT", True)
    assert "reward took longer than 0.5 s at step 5" in error.cause
    assert rewarder._child.returncode == -signal.SIGKILL, "it is gone"


def test_a_function_that_takes_its_process_along_is_told(asked) -> None:
    rewarder = asked("import os\ndef reward(completions, **_): os._exit(9)\n")
    assert "ended its process at step 2 (exit code 9)" in refused(lambda: rewarder.rewards(ANSWERED, 2)).cause


def test_printing_and_reading_do_no_harm(asked, capfd) -> None:
    rewarder = asked(
        "import sys\nprint('loaded')\ndef reward(completions, **_):\n    print('{}'); return [float(len(sys.stdin.read()))] * 3\n"
    )
    assert rewarder.rewards(ANSWERED, 1) == [[0.0] * 3]
    assert capfd.readouterr().err == "loaded\n{}\n"


def test_another_content_is_not_run(asked, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    error = refused(lambda: asked(f"open({str(witness)!r}, 'w')\ndef reward(**_): pass\n", sha256="0" * 64))
    assert (error.code, witness.exists()) == ("REWARD_CHANGED", False)


def test_a_declared_encoding_does_not_change_what_was_read(asked) -> None:
    # In rot13 the second line would be another function.
    rewarder = asked("# -*- coding: rot13 -*-\ndef reward(completions, **_): return [1.0] * 3\n")
    assert rewarder.rewards(ANSWERED, 1) == [[1.0] * 3]


def test_a_file_that_fails_to_load_and_a_name_that_is_gone(asked) -> None:
    assert "can't be run: KeyError: 'x'" in refused(lambda: asked("{}['x']\n")).cause
    assert refused(lambda: asked("def reward(): pass\ndel reward\n")).code == "REWARD_UNKNOWN"


def test_the_process_does_not_outlive_its_pipe(asked) -> None:
    rewarder = asked("def reward(completions, **_): return [0.0] * 3\n")
    child = rewarder._child
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


@given(st.lists(st.tuples(st.text(max_size=30), st.none() | st.text(max_size=30)), min_size=1, max_size=6))
def test_built_in_rewards_give_one_share_a_completion(pairs: list[tuple[str, str | None]]) -> None:
    completions = [[{"role": "assistant", "content": said}] for said, _ in pairs]
    answers = [wanted for _, wanted in pairs]
    for name, function in BUILT_IN.items():
        found = function(prompts=[], completions=completions, completion_ids=[], answer=answers)
        assert len(found) == len(pairs), name
        assert all(value is None or 0.0 <= value <= 1.0 for value in found), name


def test_built_in_rewards_mean_what_they_say() -> None:
    def one(name: str, said: str, answer: str | None = "42 Is It") -> float | None:
        return BUILT_IN[name](completions=[[{"role": "assistant", "content": said}]], answer=[answer])[0]

    assert [one("exact_match", said) for said in (" 42 is\nit ", "42")] == [1.0, 0.0]
    assert [one("contains_answer", said) for said in ("so 42 is it!", "42 is")] == [1.0, 0.0]
    assert one("exact_match", "x", None) is None
    assert (one("similarity", "42 Is It"), one("similarity", "")) == (1.0, 0.0)
    thoughts = ("<think>a</think>b", "<think>a</think>", "b", "<think>a<think>b</think>c", "x <think>a</think>b")
    assert [one("format_think", said) for said in thoughts] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert [one("brevity", said) for said in ("", "x" * 100, "x" * 900)] == [1.0, 0.75, 0.0]
