"""Reward modelling: a score for a whole conversation, higher for the better answer of a pair (Bradley and Terry 1952, as in
Ouyang et al. 2022, arXiv 2203.02155, equation 1)."""

from __future__ import annotations

from typing import Any

from torch.nn.functional import logsigmoid

from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives import Head
from backprop_tui.engine.worker.objectives.judging import Judged, JudgingTrainer
from backprop_tui.engine.worker.objectives.likelihoods import halves, pair_figures
from backprop_tui.engine.worker.objectives.pairs import PairCollator, paired
from backprop_tui.engine.worker.recipe import Recipe
from backprop_tui.engine.worker.rows import Batches, RowStore, Sequences
from backprop_tui.protocol.spec import RunSpec, TaskPart


class RewardTrainer(JudgingTrainer):
    """The score stands at the last token that is not padding."""

    def __init__(self, task: TaskPart, *args: Any, **options: Any) -> None:
        self._task = task
        super().__init__(*args, **options)

    def batches(self, sequences: Sequences) -> Batches:
        """Pairs."""
        return PairCollator(sequences, self.pad_id)

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """-log σ(better - worse), and the square of their sum where scores are centred (arXiv 2312.09244)."""
        scores = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False).logits
        better, worse = halves(scores.squeeze(-1).float())
        losses = -logsigmoid(better - worse)
        if self._task.center_rewards:
            losses = losses + self._task.center_rewards * (better + worse) ** 2
        return Judged(losses, pair_figures(better, worse))


class Reward:
    """A model that scores."""

    head: Head = "score"
    answers = False
    per_token = False

    def sequences(self, store: RowStore, spec: RunSpec, *, training: bool) -> Sequences:
        """Pair by pair."""
        return paired(store)

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Pairs need nothing beside themselves."""
        return {}

    def trainer(self, recipe: Recipe) -> RewardTrainer:
        """One that scores both answers."""
        from transformers import TrainingArguments

        return RewardTrainer(recipe.spec.task, **recipe.options(TrainingArguments))

    def worth(self, figures: dict[str, float]) -> float:
        """The loss."""
        return figures["loss"]


OBJECTIVE = Reward()
