"""Supervised fine-tuning: the learnt tokens of each row are made likelier, by TRL's `SFTTrainer`."""

from __future__ import annotations

from typing import Any

from trl import SFTConfig, SFTTrainer

from backprop_tui.data.looking.packing import pack_rows
from backprop_tui.engine.worker.attention import uses_rows
from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives import Head
from backprop_tui.engine.worker.recipe import Recipe
from backprop_tui.engine.worker.rows import Batches, Collator, RowStore, Sequences
from backprop_tui.engine.worker.trainer import StepTrainer, Tally
from backprop_tui.protocol.spec import RunSpec

#: What TRL calls the share of learnt tokens that were the likeliest, and what it is called here.
_TRL_ACCURACY, _ACCURACY = "mean_token_accuracy", "token_accuracy"


class SftTrainer(StepTrainer, SFTTrainer):  # type: ignore[misc]
    """Loss per learnt token of the whole step, whatever its micro-batches."""

    fills = True

    def batches(self, sequences: Sequences) -> Batches:
        """Rows or packs, padded or laid end to end."""
        return Collator(sequences, self.pad_id)

    def tally(self, inputs: dict[str, Any]) -> Tally:
        """Negative log-likelihood over the learnt tokens, in nats, and how many of them were the likeliest."""
        loss = float(self.compute_loss(self.model, inputs, num_items_in_batch=1))
        # A row's first label has nothing before it to be predicted from, and is never learnt.
        learnt = float((inputs["labels"] != -100).sum())
        right = self._metrics["eval"].pop(_TRL_ACCURACY)[-1]
        self._metrics["eval"].clear()
        return {"loss": (loss, learnt), _ACCURACY: (right * learnt, learnt)}

    def extras(self) -> dict[str, float]:
        """The share of learnt tokens that were the likeliest, as the mean of the micro-batches."""
        shares = self._metrics["train"].pop(_TRL_ACCURACY, [])
        self._metrics["train"].clear()
        return {_ACCURACY: sum(shares) / len(shares)} if shares else {}


class Sft:
    """Imitation of the answers, or of whole texts."""

    head: Head = "words"
    answers = True
    per_token = True

    def sequences(self, store: RowStore, spec: RunSpec, *, training: bool) -> Sequences:
        """Rows one by one; in training packed where that is asked for."""
        data, flat = spec.data, uses_rows(spec)
        if not training:
            return Sequences.plain(store)
        if not data.packing:
            return Sequences.plain(store, flat=flat)
        packs = pack_rows(
            store.lengths, data.max_length, spec.optim.batch_size, spec.optim.seed, in_order=data.order != "shuffled"
        )
        return Sequences(store, packs, packed=True, flat=flat)

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Rows need nothing beside themselves."""
        return {}

    def trainer(self, recipe: Recipe) -> StepTrainer:
        """TRL's, told that the rows are ready."""
        own = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}, "trust_remote_code": False}
        return SftTrainer(**recipe.options(SFTConfig, **own))

    def worth(self, figures: dict[str, float]) -> float:
        """The loss."""
        return figures["loss"]


OBJECTIVE = Sft()
