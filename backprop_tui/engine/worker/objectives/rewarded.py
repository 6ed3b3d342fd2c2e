"""What a run is rewarded by, as its directory says: weights, and the confirmed copy of the person's file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from backprop_tui.engine.rewards.builtin import BUILT_IN
from backprop_tui.engine.worker.rewarding import RewardSource
from backprop_tui.protocol.errors import DataError, RunFailed
from backprop_tui.protocol.parts.grpo import DEFAULT_REWARD
from backprop_tui.protocol.reward_names import reward_weights
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import RunDir

#: Built-in rewards that compare with what the row says.
BY_ANSWER = frozenset({"exact_match", "contains_answer", "similarity"})


def reward_source(spec: RunSpec, run: RunDir) -> RewardSource:
    """The rewards of a run; a file that is not the one that was confirmed is not touched.

    Raises:
        RunFailed: REWARD_CHANGED. DataError: REWARD_NOT_CONFIRMED, or run.json can't be read.
        UsageError: the names can't be read.
    """
    noted = run.read_rewards()
    sha256 = str((noted or {}).get("sha256") or "")
    if spec.grpo.reward_file.strip() and not sha256:
        raise DataError(
            "REWARD_NOT_CONFIRMED",
            "run.json does not say which content of the reward file was confirmed.",
            "Start the run anew; it shows the file and asks.",
        )
    functions = (noted or {}).get("functions")
    weights = (
        {str(name): float(weight) for name, weight in functions.items()}
        if isinstance(functions, dict)
        else reward_weights(spec.grpo.reward_functions) or {DEFAULT_REWARD: 1.0}
    )
    if not sha256:
        return RewardSource({name: weight for name, weight in weights.items() if name in BUILT_IN})
    try:
        descriptor = os.open(run.reward_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
    except OSError:
        found = ""
    if found != sha256:
        raise RunFailed(
            "REWARD_CHANGED",
            f"{run.reward_file.name} in the run's directory is not the file that was confirmed.",
            "Restore it, or start the run anew from the file you trust.",
            {"confirmed": sha256, "found": found or None},
        )
    return RewardSource(weights, run.reward_file, sha256)


def check_columns(source: RewardSource, columns: Iterable[dict[str, object]]) -> None:
    """Refuse built-in rewards that no row gives anything to compare with.

    Raises:
        DataError: REWARD_COLUMN_MISSING.
    """
    asking = sorted(BY_ANSWER & source.weights.keys()) if source.file is None else []
    if asking and not any(row.get("answer") is not None for row in columns):
        raise DataError(
            "REWARD_COLUMN_MISSING",
            f"{', '.join(asking)} compares with the column answer, and no row has one.",
            "Use chats, whose last answers are taken, or add the column.",
        )
