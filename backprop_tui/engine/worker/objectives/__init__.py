"""What a run learns, by the name it has in `RunSpec.task.objective`; which weights move is said in `methods`.

A new objective is one file here that defines an `Objective`, one line in `_HOMES`, and in `protocol.parts.task` its name,
its kind of rows and its settings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, Protocol

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.spec import RunSpec

if TYPE_CHECKING:
    from backprop_tui.engine.worker.ground import Ground
    from backprop_tui.engine.worker.recipe import Recipe
    from backprop_tui.engine.worker.rows import RowStore, Sequences
    from backprop_tui.engine.worker.trainer import StepTrainer

#: What stands on the model: a vocabulary, or one score for a whole row.
Head = Literal["words", "score"]


class Objective(Protocol):
    """What is learnt.

    Attributes:
        head: what the model is loaded with.
        answers: whether held-out prompts are answered and shown.
        per_token: whether the loss is a mean per learnt token, whose exponential is the perplexity.
    """

    head: Head
    answers: bool
    per_token: bool

    def sequences(self, store: RowStore, spec: RunSpec, *, training: bool) -> Sequences:
        """How rows are drawn, in training or in an evaluation; the store is as `dataset.stored` lays it out."""

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Work out once, before the first step of an attempt, what the rows need beside themselves.

        Returns:
            Files by name that go into every checkpoint.
        """

    def trainer(self, recipe: Recipe) -> StepTrainer:
        """What trains, and measures held-out batches."""

    def worth(self, figures: dict[str, float]) -> float:
        """By what the best evaluation is told, lower is better. `figures` has "loss" and those of `StepTrainer.tally`."""


_HOMES = {
    "sft": "backprop_tui.engine.worker.objectives.sft",
    "dpo": "backprop_tui.engine.worker.objectives.dpo",
    "kto": "backprop_tui.engine.worker.objectives.kto",
    "orpo": "backprop_tui.engine.worker.objectives.orpo",
    "simpo": "backprop_tui.engine.worker.objectives.simpo",
    "reward": "backprop_tui.engine.worker.objectives.reward",
    "grpo": "backprop_tui.engine.worker.objectives.grpo",
}


def find_objective(name: str) -> Objective:
    """The objective called `name`.

    Raises:
        UsageError: OBJECTIVE_UNKNOWN.
    """
    home = _HOMES.get(name)
    if home is None:
        raise UsageError("OBJECTIVE_UNKNOWN", f"There is no objective {name!r}.", f"Choose one of {', '.join(_HOMES)}.")
    found: Any = importlib.import_module(home).OBJECTIVE
    objective: Objective = found
    return objective
