"""Tokenised rows as the trainer reads them: compact storage, and collation into tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

#: Label of a token that is not learnt (what cross-entropy leaves out).
IGNORED = -100
#: Number of a sequence that stands for none: where several processes draw, each must have equally many.
FILLER = -1
#: Keys of a batch that are not for the model. Its number of real tokens, counted here to spare the device a look.
TOKENS = "real_tokens"
#: And its number of tokens whose loss counts.
LEARNT = "learnt_tokens"


class TokenRow(Protocol):
    """A tokenised row: ids, and for each whether it is learnt."""

    @property
    def ids(self) -> Sequence[int]:
        """Token ids."""

    @property
    def trained(self) -> Sequence[bool]:
        """Same length as `ids`."""


class Batches(Protocol):
    """Turns sequence numbers into a batch: tensors by name, and under `TOKENS` and `LEARNT` how many tokens count."""

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch of rows drawn from `Sequences.index_dataset`."""

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The batch of these sequences."""


class RowStore:
    """Many rows in two flat arrays: 8 bytes per token, however many rows there are.

    A row's first label is always ignored: nothing stands before it to predict it from, and in a pack the end of the
    neighbouring row must not be taught to.

    Attributes:
        notes: what belongs to the rows beside their tokens, by name, each of shape (rows,).
    """

    def __init__(self, rows: Iterable[TokenRow]) -> None:
        ids, labels, ends = [], [], [0]
        for row in rows:
            row_ids = np.asarray(row.ids, dtype=np.int32)
            row_labels = np.where(np.asarray(row.trained, dtype=bool), row_ids, np.int32(IGNORED))
            row_labels[:1] = IGNORED
            ids.append(row_ids)
            labels.append(row_labels)
            ends.append(ends[-1] + len(row_ids))
        self._ids = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
        self._labels = np.concatenate(labels) if labels else np.zeros(0, dtype=np.int32)
        self._ends = np.asarray(ends, dtype=np.int64)
        self.notes: dict[str, np.ndarray[Any, Any]] = {}

    @classmethod
    def of(cls, rows: Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]) -> RowStore:
        """A store of ids and labels as `row` gives them."""
        made = cls(())
        if rows:
            made._ids, made._labels = (np.concatenate(side) for side in zip(*rows, strict=True))
            made._ends = np.cumsum([0, *(len(ids) for ids, _ in rows)], dtype=np.int64)
        return made

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def lengths(self) -> np.ndarray[Any, Any]:
        """Tokens of each row."""
        return np.diff(self._ends)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return int(self._ends[-1])

    @property
    def learnt_lengths(self) -> np.ndarray[Any, Any]:
        """Tokens of each row that are learnt."""
        before = np.concatenate(([0], np.cumsum(self._labels != IGNORED)))
        return before[self._ends[1:]] - before[self._ends[:-1]]

    @property
    def trained_tokens(self) -> int:
        """Tokens of all rows that are learnt."""
        return int((self._labels != IGNORED).sum())

    def take(self, places: Sequence[int]) -> RowStore:
        """Some of the rows, in the order of their places."""
        chosen = RowStore.of([self.row(place) for place in places])
        chosen.notes = {name: values[list(places)] for name, values in self.notes.items()}
        return chosen

    def digest(self) -> bytes:
        """SHA-256 of all ids and labels, in order."""
        whole = hashlib.sha256(self._ends.tobytes())
        for side in (self._ids, self._labels):
            whole.update(side.tobytes())
        return whole.digest()

    def row(self, index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Ids and labels of one row, each of shape (tokens,)."""
        start, end = self._ends[index], self._ends[index + 1]
        return self._ids[start:end], self._labels[start:end]


@dataclass(frozen=True, slots=True)
class Sequences:
    """What the trainer draws from: each sequence is one row, or several packed ones.

    `flat` lays all sequences of a batch end to end in one line, and tells the attention where rows begin.
    """

    store: RowStore
    packs: Sequence[Sequence[int]]
    packed: bool
    flat: bool = False

    @classmethod
    def plain(cls, store: RowStore, *, flat: bool = False) -> Sequences:
        """One sequence per row."""
        return cls(store, [[index] for index in range(len(store))], packed=False, flat=flat)

    def __len__(self) -> int:
        return len(self.packs)

    @property
    def lengths(self) -> np.ndarray[Any, Any]:
        """Tokens of the longest row of each sequence: what a batch is as wide as, but for packs."""
        rows = self.store.lengths
        return np.array([max(rows[list(pack)]) for pack in self.packs], dtype=np.int64)

    def index_dataset(self, filled: int = 0) -> Any:
        """A `datasets.Dataset` of sequence numbers: TRL insists on one, the collator looks the rows up itself.

        `filled` of them are `FILLER`, and come last.
        """
        from datasets import Dataset

        return Dataset.from_dict({"sequence": [*range(len(self)), *[FILLER] * filled]})

    def rows_of(self, number: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Ids and labels of each row of a sequence; a filler's is one token from which nothing is learnt."""
        if number == FILLER:
            ids, labels = self.store.row(self.packs[0][0])
            return [(ids[:1], np.full_like(labels[:1], IGNORED))]
        return [self.store.row(index) for index in self.packs[number]]


class Collator:
    """Turns sequence numbers into a batch of tensors of shape (batch, longest).

    Unpacked: `input_ids`, `attention_mask`, `labels`. Packed: `input_ids`, `position_ids`, `labels` and no attention
    mask; positions restart with each row, from which transformers builds a mask that keeps rows apart (it looks at
    positions only when there is neither a mask nor a cache). Padding counts as one more row with nothing to learn.
    Flat: as packed, in one line without padding, with `cu_seq_lens_q` and `cu_seq_lens_k`, shape (rows + 1,) int32, and
    `max_length_q` and `max_length_k`: where rows begin, and how long the longest is.
    """

    def __init__(self, sequences: Sequences, pad_id: int) -> None:
        self._sequences = sequences
        self._pad_id = pad_id

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch of rows drawn from `Sequences.index_dataset`."""
        return self.batch([int(example["sequence"]) for example in examples])

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The tensors of these sequences, and under `TOKENS` and `LEARNT` how many tokens are real and learnt."""
        sequences = self._sequences
        rows = [sequences.rows_of(number) for number in numbers]
        real = sum(len(ids) for number, pack in zip(numbers, rows, strict=True) if number != FILLER for ids, _ in pack)
        if sequences.flat:
            rows = [[row for pack in rows for row in pack]]
        restarting = sequences.packed or sequences.flat
        longest = max(sum(len(ids) for ids, _ in pack) for pack in rows)
        shape = (len(rows), longest)
        input_ids = np.full(shape, self._pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        extra = np.zeros(shape, dtype=np.int64)
        for line, pack in enumerate(rows):
            at = 0
            for ids, targets in pack:
                end = at + len(ids)
                input_ids[line, at:end], labels[line, at:end] = ids, targets
                extra[line, at:end] = np.arange(len(ids)) if restarting else 1
                at = end
            if restarting:
                extra[line, at:] = np.arange(longest - at)
        return {
            "input_ids": torch.from_numpy(input_ids),
            "position_ids" if restarting else "attention_mask": torch.from_numpy(extra),
            "labels": torch.from_numpy(labels),
            **(_bounds([len(ids) for ids, _ in rows[0]]) if sequences.flat else {}),
            TOKENS: real,
            LEARNT: sum(int((targets != IGNORED).sum()) for pack in rows for _, targets in pack),
        }


def _bounds(lengths: Sequence[int]) -> dict[str, Any]:
    """Where rows of these lengths begin and end in one line, under the names transformers' attention functions know."""
    ends = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    longest = max(lengths)
    return {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}
