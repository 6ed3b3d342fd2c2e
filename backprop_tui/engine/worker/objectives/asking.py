"""Prompts as batches: what is asked, by whom it was said, and what the rewards may know of the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backprop_tui.engine.worker.rows import LEARNT, TOKENS, Sequences

#: Key of a batch for its list of `Asked`.
ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt: `ids` up to where the answer begins, the `turns` behind them as chats have them, and the row's `columns`."""

    ids: tuple[int, ...]
    turns: Sequence[dict[str, Any]]
    columns: dict[str, Any]


class PromptCollator:
    """Prompts, still without tensors: the answers to them are to come."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch of rows drawn from `Sequences.index_dataset`."""
        return self.batch([int(example["sequence"]) for example in examples])

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """These prompts under `ASKED`; nothing of them is learnt."""
        asked = asked_of(self._sequences, numbers)
        return {ASKED: asked, TOKENS: sum(len(one.ids) for one in asked), LEARNT: 0}


def asked_of(sequences: Sequences, numbers: Sequence[int]) -> list[Asked]:
    """The prompts of these sequences."""
    store = sequences.store
    return [
        Asked(tuple(store.row(number)[0].tolist()), store.notes["turns"][number], store.notes["columns"][number])
        for number in numbers
    ]
