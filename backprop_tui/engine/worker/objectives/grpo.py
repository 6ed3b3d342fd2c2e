"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300): several answers are drawn of each prompt, rewarded,
and those better than their group's mean become likelier.

Answers are drawn, with the weights as they are and random numbers of their step's own, when a step's prompts are; so a
checkpoint between two steps holds all it takes, and so does one between steps that learn from the same answers, because then
those are kept in it.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trl.trainer.utils import add_fused_lm_head

from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives import Head
from backprop_tui.engine.worker.objectives.advantages import (
    advantages_of,
    drift,
    policy_losses,
    shares_of,
    spread,
    summed,
)
from backprop_tui.engine.worker.objectives.asking import ASKED, Asked, PromptCollator
from backprop_tui.engine.worker.objectives.repeating import RepeatedBlocks
from backprop_tui.engine.worker.objectives.rewarded import check_columns, reward_source
from backprop_tui.engine.worker.recipe import Recipe
from backprop_tui.engine.worker.rewarding import Answered, Rewarder
from backprop_tui.engine.worker.rows import IGNORED, LEARNT, TOKENS, Batches, Collator, RowStore, Sequences
from backprop_tui.engine.worker.sampling import answer_text, generate_ids
from backprop_tui.engine.worker.trainer import StepTrainer, Tally
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import RunDir

_ANSWERS_FILE = "answers.pt"
#: Longest name of a function within the name of a figure.
_NAMED = 32


@dataclass(frozen=True, slots=True)
class Drawn:
    """Answers to some prompts, those to one prompt after each other: token ids, and what each function gave each."""

    ids: list[list[int]]
    per_function: list[list[float | None]]


class GrpoTrainer(StepTrainer):
    """Draws, rewards and learns.

    Args:
        spec: the run. rewarder: asked for the rewards.
        reference: the base the model is held to; None where it lies beneath the adapter, or nothing holds it.
    """

    def __init__(self, spec: RunSpec, rewarder: Rewarder, reference: Any, *args: Any, **options: Any) -> None:
        self._spec, self._part = spec, spec.grpo
        self._rewarder = rewarder
        self._reference = reference
        self._answered: list[dict[str, Any]] | None = None
        self._told: dict[str, float] = {}
        self._sums: dict[str, tuple[float, float]] = {}
        model = options["model"]
        for one in filter(None, (model, reference)):
            base = one.get_base_model() if hasattr(one, "get_base_model") else one
            add_fused_lm_head(base, temperature=self._part.temperature, outputs=("log_probs", "entropy"))
        super().__init__(*args, **options)
        # Every answer has its share of the whole step's loss already, so the trainer must not divide it again.
        self.model_accepts_loss_kwargs = True

    def batches(self, sequences: Sequences) -> Batches:
        """Prompts."""
        return PromptCollator(sequences)

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        sampler = super()._get_train_sampler(*args, **kwargs)
        if self._part.answer_reuse == 1:
            return sampler
        block = self._spec.optim.accumulation * self.args.per_device_train_batch_size
        return RepeatedBlocks(
            len(self.train_dataset), block, self._part.answer_reuse, self.args.seed, in_order=self._in_order
        )

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        return torch.tensor(1, device=device)

    def drawn(self, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers to the prompts of one step, or those of the step before where they are learnt from again."""
        if self._answered is None or self.state.global_step % self._part.answer_reuse == 0:
            self._answered = self._answer([batch[ASKED] for batch in samples])
        return [dict(batch) for batch in self._answered]

    def _answer(self, batches: Sequence[Sequence[Asked]]) -> list[dict[str, Any]]:
        asked = [one for batch in batches for one in batch for _ in range(self._part.generations)]
        drawn = self._draw(asked, self._part.temperature)
        rewards = summed(drawn.per_function, list(self._rewarder.source.weights.values()))
        advantages, flat = advantages_of(rewards, self._part.generations, self._part.reward_scale)
        lengths = [len(ids) for ids in drawn.ids]
        self._told = self._figures(drawn, rewards) | {"rewards_flat": flat}
        shares = shares_of(lengths, self._part.policy_loss, self._part.answer_length)
        found, start = [], 0
        for batch in batches:
            end = start + len(batch) * self._part.generations
            rows = list(zip(asked[start:end], drawn.ids[start:end], strict=True))
            found.append(self._batch(rows, advantages[start:end], shares[start:end]))
            start = end
        return found

    def _batch(
        self, rows: Sequence[tuple[Asked, list[int]]], advantages: torch.Tensor, shares: torch.Tensor
    ) -> dict[str, Any]:
        """Prompts with their answers as rows, of which the answers count, and what is to be learnt of them."""
        import numpy as np

        pairs = []
        for asked, ids in rows:
            whole = np.array([*asked.ids, *ids], dtype=np.int32)
            labels = whole.copy()
            labels[: len(asked.ids)] = IGNORED
            pairs.append((whole, labels))
        batch = Collator(Sequences.plain(RowStore.of(pairs)), self.pad_id).batch(range(len(pairs)))
        batch |= {"advantages": advantages, "shares": shares}
        if self._part.answer_reuse > 1:
            batch["old"] = self._noted(self.model, batch)
        if self._part.kl_weight:
            batch["reference"] = self._referred(batch)
        return batch

    def _noted(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Log-probabilities of the batch's learnt tokens under a model as it is, without gradient; on the CPU."""
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), self.compute_loss_context_manager():
                found: torch.Tensor = self._scored(model, self._prepare_inputs(_tensors(batch))).log_probs.float()
        finally:
            model.train(training)
        return found.cpu()

    def _referred(self, batch: dict[str, Any]) -> torch.Tensor:
        if self._reference is not None:
            return self._noted(self._reference, batch)
        with self.accelerator.unwrap_model(self.model).disable_adapter():
            return self._noted(self.model, batch)

    @staticmethod
    def _scored(model: Any, inputs: dict[str, Any]) -> Any:
        return model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["labels"],
            fused_lm_head=True,
            use_cache=False,
        )

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The batch's share of the step's loss (equation 3)."""
        part = self._part
        scored = self._scored(model, inputs)
        counts = inputs["labels"][:, 1:] != IGNORED
        logps = scored.log_probs.float()
        losses, clipped = policy_losses(logps, inputs.get("old"), inputs["advantages"], part.clip_epsilon)
        seen = {"entropy": scored.entropy.detach().float()}
        if part.answer_reuse > 1:
            seen["clipped"] = clipped.float()
        if part.kl_weight:
            apart = drift(logps, inputs["reference"])
            losses = losses + part.kl_weight * apart
            seen["kl_per_token"] = apart.detach()
        tokens = float(counts.sum())
        for name, values in seen.items():
            total, count = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = total + float((values * counts).sum()), count + tokens
        loss = ((losses * counts).sum(-1) * inputs["shares"]).sum()
        return (loss, {}) if return_outputs else loss

    def rehearse(self, batch: dict[str, Any]) -> None:
        """A micro-batch of these prompts with answers as long as they may get, for the memory it takes."""
        ids = [self.pad_id] * self._part.answer_length
        rows = [(one, ids) for one in batch[ASKED] for _ in range(self._part.generations)]
        some = torch.full((len(rows),), 1.0 / len(rows))
        inputs = _tensors(self._batch(rows, some, some))
        self.current_gradient_accumulation_steps = self.args.gradient_accumulation_steps
        self.training_step(self.model_wrapped, inputs, torch.tensor(1, device=self.args.device))

    def tally(self, inputs: dict[str, Any]) -> Tally:
        """The likeliest answers to held-out prompts and their rewards; the loss is the reward with its sign turned."""
        asked: list[Asked] = inputs[ASKED]
        drawn = self._draw(asked, None)
        rewards = summed(drawn.per_function, list(self._rewarder.source.weights.values()))
        known = rewards[~rewards.isnan()]
        found: Tally = {
            "loss": (-float(known.sum()), len(known)),
            "reward": (float(known.sum()), len(known)),
            "completion_tokens": (float(sum(map(len, drawn.ids))), len(asked)),
        }
        for name, row in zip(self._rewarder.source.weights, drawn.per_function, strict=True):
            given = [one for one in row if one is not None]
            found[f"rewards/{name[:_NAMED]}"] = (sum(given), len(given))
        return found

    def marks(self, asked: Any, text: str) -> dict[str, float | None]:
        """What each reward function gives an answer, and under `reward` their weighted sum."""
        if not isinstance(asked, Asked):
            return {}
        ids = self.processing_class.encode(text, add_special_tokens=False)
        rows = self._rewarder.rewards(Answered([asked.turns], [text], [ids], [asked.columns]), self.state.global_step)
        weights = self._rewarder.source.weights
        total = float(summed(rows, list(weights.values()))[0])
        return {
            "reward": None if total != total else total,
            **dict(zip(weights, (row[0] for row in rows), strict=True)),
        }

    def extras(self) -> dict[str, float]:
        """Figures of the answers, in the step that drew them, and of how they were learnt from."""
        found = self._told | {name: total / count for name, (total, count) in self._sums.items() if count}
        self._told, self._sums = {}, {}
        return found

    def save_training_state(self, directory: Path, *args: Any, **kwargs: Any) -> None:
        """As ever, and with the answers that are still to be learnt from."""
        super().save_training_state(directory, *args, **kwargs)
        if self._answered is not None and self.state.global_step % self._part.answer_reuse:
            content = io.BytesIO()
            torch.save([_plain(batch) for batch in self._answered], content)
            (directory / _ANSWERS_FILE).write_bytes(content.getvalue())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (kept := Path(checkpoint, _ANSWERS_FILE)).is_file():
            self._answered = torch.load(kept, map_location="cpu", weights_only=True)

    def _draw(self, asked: Sequence[Asked], temperature: float | None) -> Drawn:
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        ids: list[list[int]] = []
        model.eval()
        # What a step draws depends on the seed and the step alone: the trainer gives an attempt that goes on its random state
        # back only after the step's first prompts were fetched.
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        try:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(self.args.seed * 1_000_003 + self.state.global_step)
                # Keys and values of no more rows at once than a micro-batch has.
                together = self.args.per_device_train_batch_size * self._part.generations
                for start in range(0, len(asked), together):
                    ids += generate_ids(
                        model,
                        [one.ids for one in asked[start : start + together]],
                        pad_id=self.pad_id,
                        most_tokens=self._part.answer_length,
                        stop_ids=self.stop_ids,
                        autocast=None if self.precision is None else self.precision.autocast,
                        temperature=temperature,
                    )
        finally:
            model.train(training)
        texts = [answer_text(self.processing_class, one, self.stop_ids) for one in ids]
        turns, columns = [one.turns for one in asked], [one.columns for one in asked]
        # Before and after a step are told apart, so that evaluating at a step draws nothing from what the step draws.
        step = self.state.global_step + (temperature is not None)
        return Drawn(ids, self._rewarder.rewards(Answered(turns, texts, ids, columns), step))

    def _figures(self, drawn: Drawn, rewards: torch.Tensor) -> dict[str, float]:
        lengths = [len(ids) for ids in drawn.ids]
        cut = [ids[-1] not in self.stop_ids for ids in drawn.ids]
        found = {
            "reward": float(rewards.nanmean()),
            "reward_std": float(spread(rewards)),
            "completion_tokens": sum(lengths) / len(lengths),
            "completions_cut": sum(cut) / len(cut),
        }
        for name, row in zip(self._rewarder.source.weights, drawn.per_function, strict=True):
            values = torch.tensor([float("nan") if one is None else one for one in row])
            if not values.isnan().all():
                found[f"rewards/{name[:_NAMED]}"] = float(values.nanmean())
                found[f"rewards/{name[:_NAMED]}/std"] = float(spread(values))
        return {name: value for name, value in found.items() if value == value}


def _tensors(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name not in (TOKENS, LEARNT)}


def _plain(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch as `torch.load` takes it without running anything: tensors and numbers."""
    return {name: value if torch.is_tensor(value) else int(value) for name, value in batch.items()}


class Grpo:
    """GRPO."""

    head: Head = "words"
    answers = True
    per_token = False

    def sequences(self, store: RowStore, spec: RunSpec, *, training: bool) -> Sequences:
        """Prompt by prompt."""
        return Sequences.plain(store)

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Refuse what could only be found out with the rows at hand; nothing is worked out.

        Raises:
            DataError: REWARD_COLUMN_MISSING.
            UsageError: KL_OF_A_FORK.
        """
        source = reward_source(ground.spec, RunDir(ground.run_path))
        check_columns(source, ground.train.store.notes["columns"])
        if ground.spec.grpo.kl_weight and ground.spec.model.method == "full" and ground.origin is not None:
            raise UsageError(
                "KL_OF_A_FORK",
                "With method=full the KL weight compares with the base, and a fork begins with other weights.",
                "Set kl_weight to 0, or train an adapter.",
            )
        return {}

    def trainer(self, recipe: Recipe) -> GrpoTrainer:
        """One whose reward functions are loaded and ready."""
        from transformers import TrainingArguments

        spec = recipe.spec
        source = reward_source(spec, RunDir(recipe.output.parent))
        rewarder = Rewarder(source, timeout=spec.grpo.reward_timeout, seed=spec.optim.seed)
        reference = None
        if spec.grpo.kl_weight and spec.model.method == "full":
            reference = copy.deepcopy(recipe.loaded.model).requires_grad_(False).eval()
        return GrpoTrainer(spec, rewarder, reference, **recipe.options(TrainingArguments))

    def worth(self, figures: dict[str, float]) -> float:
        """The mean reward of held-out answers with its sign turned."""
        return figures["loss"]


OBJECTIVE = Grpo()
