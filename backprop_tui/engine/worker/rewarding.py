"""Asking the process of the reward functions, with a limit on how long each may take."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.protocol.errors import RunFailed
from backprop_tui.protocol.text import safe_text

#: Time for the file's own imports, at least; libraries such as torch take seconds.
_STARTS_WITHIN = 120.0
_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class RewardSource:
    """What is asked.

    Attributes:
        weights: of each function by name, in the order they are asked.
        file: the confirmed copy, None where all are built in. sha256: of the file that was confirmed.
    """

    weights: dict[str, float]
    file: Path | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """Completions to be rewarded, each with the row it answers.

    Attributes:
        prompts: messages before each answer. completions: the answers' texts. ids: their tokens.
        columns: the rows' other columns.
    """

    prompts: Sequence[Sequence[dict[str, Any]]]
    completions: Sequence[str]
    ids: Sequence[Sequence[int]]
    columns: Sequence[dict[str, Any]]

    def words(self, step: int, seed: int) -> dict[str, Any]:
        """As the child takes it: columns by name, each with one value a completion (None where a row lacks it)."""
        names = list(dict.fromkeys(name for row in self.columns for name in row))
        return {
            "step": step,
            # Functions that draw random numbers draw the same ones when a step is repeated.
            "seed": f"{seed} {step}",
            "prompts": [list(prompt) for prompt in self.prompts],
            "completions": [[{"role": "assistant", "content": text}] for text in self.completions],
            "completion_ids": [list(ids) for ids in self.ids],
            "columns": {name: [row.get(name) for row in self.columns] for name in names},
        }


class Rewarder:
    """The child, from its start to the end of the run.

    Args:
        source: which functions.
        timeout: seconds each function may take for one batch.
        seed: the run's.

    Raises:
        RunFailed: REWARD_CHANGED, REWARD_FAILED or REWARD_UNKNOWN; REWARD_TIMED_OUT while the file loads.
    """

    def __init__(self, source: RewardSource, *, timeout: float, seed: int) -> None:
        self.source = source
        self._timeout = timeout
        self._seed = seed
        self._buffer = b""
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "backprop_tui.engine.rewards.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        self._stop = weakref.finalize(self, _end, self._child)
        file = "" if source.file is None else str(source.file)
        self._send({"file": file, "sha256": source.sha256, "functions": list(source.weights)})
        answer = self._hear("the reward file", "while it loaded", max(timeout, _STARTS_WITHIN))
        if not answer.get("ready"):
            self.close()
            raise RunFailed(
                str(answer.get("code") or "REWARD_FAILED"),
                safe_text(answer.get("cause"), limit=600),
                "Mend the reward file and start a new run; worker.log has the traceback.",
            )

    def close(self) -> None:
        """End the child."""
        self._stop()

    def rewards(self, answered: Answered, step: int) -> list[list[float | None]]:
        """For each function, in the order of the weights, what it gives each completion; None where it does not apply.

        Args:
            answered: the completions.
            step: the optimiser step they are for, to name it and to seed what the functions draw.

        Raises:
            RunFailed: REWARD_FAILED, REWARD_TIMED_OUT, naming function, step and sample.
        """
        if not answered.completions:
            return [[] for _ in self.source.weights]
        self._send(answered.words(step, self._seed))
        found = []
        for name in self.source.weights:
            words = self._hear(f"Reward function {name}", f"at step {step}", self._timeout)
            if "rewards" not in words:
                self.close()
                sample = words.get("sample")
                which = "" if sample is None else f", sample {sample + 1} of {len(answered.completions)}"
                raise RunFailed(
                    "REWARD_FAILED",
                    f"Reward function {name} at step {step}{which}: {safe_text(words.get('cause'), limit=600)}.",
                    "Mend the reward file and start a new run; worker.log has the traceback.",
                    {"function": name, "step": step, "sample": sample},
                )
            found.append(words["rewards"])
        return found

    def _send(self, words: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(words).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            # What it has to say, or that it is gone, is heard next.
            pass

    def _hear(self, who: str, when: str, seconds: float) -> dict[str, Any]:
        assert self._child.stdout is not None
        pipe = self._child.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.close()
                raise RunFailed(
                    "REWARD_TIMED_OUT",
                    f"{who} took longer than {seconds:g} s {when}.",
                    "Make it quicker, or raise reward_timeout in a fork of the run.",
                )
            piece = os.read(pipe, _READ)
            if not piece:
                code = self._child.wait()
                raise RunFailed(
                    "REWARD_FAILED",
                    f"{who} ended its process {when} (exit code {code}).",
                    "A reward function must return; worker.log may say more.",
                )
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        words: dict[str, Any] = json.loads(line)
        return words


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                pass
    child.wait()
