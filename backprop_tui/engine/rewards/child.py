"""The process in which reward functions run, so that one that hangs, exits or prints does no harm to the training.

Asked on its standard input and answering on its standard output, a JSON object a line. First comes what it is to load:
`{"file", "sha256", "functions"}`; it answers `{"ready": true}` or `{"code", "cause"}`. Then for each batch `{"step", "seed",
"prompts", "completions", "completion_ids", "columns"}`; for each function, in order, it answers `{"function", "rewards"}` or
`{"function", "code", "cause", "sample"}`. What functions print goes to the worker's log.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import io
import json
import math
import os
import random
import signal
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from backprop_tui.engine.rewards.builtin import BUILT_IN

#: Name of the module the file becomes; classes of it need one to be pickled.
_MODULE = "backprop_reward_file"
_PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """What is wrong with a file or with what a function gave back.

    Args:
        code: as an error of ours has it.
        cause: a sentence.
        sample: which completion of the batch, from 0; None where it is not one alone.
    """

    def __init__(self, code: str, cause: str, sample: int | None = None) -> None:
        super().__init__(cause)
        self.code, self.cause, self.sample = code, cause, sample


def load(path: str, sha256: str, names: list[str]) -> dict[str, Callable[..., Any]]:
    """The functions of these names; the file is run only if it is, byte for byte, the one that was confirmed.

    The source is compiled as the UTF-8 text that was shown, whatever encoding it declares.

    Raises:
        Refused: REWARD_CHANGED, REWARD_FAILED while it runs, REWARD_UNKNOWN for a name that is no function of it.
    """
    own: dict[str, Any] = {}
    if path:
        content = Path(path).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refused("REWARD_CHANGED", "The copy of the reward file in the run is not the one that was confirmed.")
        module = types.ModuleType(_MODULE)
        module.__file__ = path
        sys.modules[_MODULE] = module
        try:
            exec(compile(content.decode("utf-8-sig"), path, "exec", dont_inherit=True), module.__dict__)
        except BaseException as error:
            traceback.print_exc()
            raise Refused("REWARD_FAILED", f"The reward file can't be run: {_words(error)}.") from None
        own = module.__dict__
    found: dict[str, Callable[..., Any]] = {}
    for name in names:
        function = own.get(name) or BUILT_IN.get(name)
        if not callable(function):
            raise Refused("REWARD_UNKNOWN", f"{name} is no function once the reward file has run.")
        found[name] = function
    return found


def rewards_of(function: Callable[..., Any], batch: dict[str, Any]) -> list[float | None]:
    """What a function gives for a batch, checked: one number, or None, for each completion.

    Raises:
        Refused: it raised, gave another number of rewards, something that is no number, or an infinite one.
    """
    count = len(batch["completions"])
    random.seed(batch["seed"])
    try:
        given = function(**_arguments(function, batch))
        if inspect.isawaitable(given):
            import asyncio

            given = asyncio.run(_awaited(given))
    except Refused:
        raise
    except BaseException as error:
        traceback.print_exc()
        raise Refused("REWARD_FAILED", f"it raised {_words(error)}", _culprit(function, batch)) from None
    try:
        values = list(given)
    except TypeError:
        raise Refused("REWARD_FAILED", f"it gave {type(given).__name__}, not a list of rewards") from None
    if len(values) != count:
        raise Refused("REWARD_FAILED", f"it gave {len(values)} rewards for {count} completions")
    return [_number(value, place) for place, value in enumerate(values)]


async def _awaited(given: Any) -> Any:
    return await given


def _number(value: Any, place: int) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Refused("REWARD_FAILED", f"it gave {type(value).__name__}, not a number", place) from None
    if math.isinf(number):
        raise Refused("REWARD_FAILED", "it gave an infinite reward", place)
    # As in TRL a reward that is no number says that the function does not apply.
    return None if math.isnan(number) else number


def _arguments(function: Callable[..., Any], batch: dict[str, Any]) -> dict[str, Any]:
    """Everything there is for a function with `**kwargs`, else what it names."""
    given = {
        "prompts": batch["prompts"],
        "completions": batch["completions"],
        "completion_ids": batch["completion_ids"],
        **batch["columns"],
    }
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        named = given
    else:
        named = {parameter.name: given[parameter.name] for parameter in parameters if parameter.name in given}
    for parameter in parameters:
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if by_name and parameter.default is parameter.empty and parameter.name not in given:
            raise Refused("REWARD_FAILED", f"it asks for {parameter.name}, and the rows have no such column")
    return named


def _culprit(function: Callable[..., Any], batch: dict[str, Any]) -> int | None:
    """The first completion for which the function raises alone; None where none does."""
    for place in range(len(batch["completions"])):
        one = {key: value[place : place + 1] if isinstance(value, list) else value for key, value in batch.items()}
        one["columns"] = {key: value[place : place + 1] for key, value in batch["columns"].items()}
        try:
            function(**_arguments(function, one))
        except BaseException:
            return place
    return None


def _words(error: BaseException) -> str:
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def serve(asked: TextIO, answers: TextIO) -> None:
    """Load what the first line names, then answer batches until the asking end is closed."""

    def answer(words: dict[str, Any]) -> None:
        answers.write(json.dumps(words) + "\n")
        answers.flush()

    wanted = json.loads(asked.readline() or "{}")
    try:
        functions = load(wanted["file"], wanted["sha256"], wanted["functions"])
    except Refused as error:
        answer({"code": error.code, "cause": error.cause})
        return
    answer({"ready": True})
    for line in asked:
        batch = json.loads(line)
        for name, function in functions.items():
            try:
                answer({"function": name, "rewards": rewards_of(function, batch)})
            except Refused as error:
                answer({"function": name, "code": error.code, "cause": error.cause, "sample": error.sample})
                break


def _end_with_parent() -> None:
    """A function that never returns would outlive a worker that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Serve on the pipes this process was given; the file's own code gets neither of them."""
    _end_with_parent()
    asked = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # Whoever ends this process does not wait for what is still to be written.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    serve(asked, answers)


if __name__ == "__main__":
    main()
