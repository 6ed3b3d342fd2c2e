"""Rows of more than one rendering, or with something beside it: pairs, marked answers, prompts that are still to be answered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    Unpaired,
)
from backprop_tui.data.rendering.encoded import EncodedRow
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError


@dataclass(frozen=True, slots=True)
class Pair:
    """The same prompt with a better and a worse continuation, each cut by itself; only the continuations are learnt."""

    chosen: EncodedRow
    rejected: EncodedRow

    @property
    def renderings(self) -> tuple[EncodedRow, ...]:
        """The better half, then the worse."""
        return self.chosen, self.rejected

    @property
    def index(self) -> int:
        """Place of the row among the file's rows."""
        return self.chosen.index

    @property
    def cut(self) -> int:
        """Tokens cut off from both halves."""
        return self.chosen.cut + self.rejected.cut

    def __len__(self) -> int:
        return len(self.chosen) + len(self.rejected)

    @property
    def trained_tokens(self) -> int:
        """Tokens of both continuations."""
        return self.chosen.trained_tokens + self.rejected.trained_tokens

    def digest_bytes(self) -> bytes:
        """What the fingerprint hashes."""
        return len(self.chosen).to_bytes(4, "little") + self.chosen.digest_bytes() + self.rejected.digest_bytes()


@dataclass(frozen=True, slots=True)
class Noted:
    """One rendering with what the row says beside it: `wanted` of a marked answer, `columns` and `turns` of a bare prompt."""

    row: EncodedRow
    wanted: bool | None = None
    columns: dict[str, Any] | None = None
    turns: tuple[Message, ...] = ()

    @property
    def renderings(self) -> tuple[EncodedRow, ...]:
        """The one."""
        return (self.row,)

    @property
    def index(self) -> int:
        """Place of the row among the file's rows."""
        return self.row.index

    @property
    def cut(self) -> int:
        """Tokens cut off."""
        return self.row.cut

    def __len__(self) -> int:
        return len(self.row)

    @property
    def trained_tokens(self) -> int:
        """Tokens that are learnt, or pushed away."""
        return self.row.trained_tokens

    def digest_bytes(self) -> bytes:
        """What the fingerprint hashes."""
        beside = msgspec.json.encode([self.wanted, self.columns], order="sorted")
        return self.row.digest_bytes() + hashlib.sha256(beside).digest()


#: A row ready to be learnt from. Plain text and conversations are one rendering and nothing else.
Learnt = EncodedRow | Pair | Noted


def renderings_of(row: Learnt) -> tuple[EncodedRow, ...]:
    """The renderings a row is made of."""
    return (row,) if isinstance(row, EncodedRow) else row.renderings


def parts_of(row: Normalised) -> list[tuple[Conversation | PlainText, int]]:
    """A row as what a template can render, each with how many answers belong to the prompt (see `Planner.plan`)."""
    if isinstance(row, Conversation | PlainText):
        return [(row, 0)]
    if isinstance(row, PromptOnly):
        return [(Conversation(row.prompt, row.tools), -1)]
    given = sum(message.role == "assistant" for message in row.prompt)
    halves = (row.chosen, row.rejected) if isinstance(row, Preference) else (row.completion,)
    return [(Conversation(row.prompt + half, row.tools), given) for half in halves]


def joined(row: Normalised, encoded: Sequence[EncodedRow | DataError]) -> Learnt | DataError:
    """A row from the renderings of its `parts_of`, or why it can't be used: the first of their errors, or nothing left to tell
    the halves of a pair apart."""
    halves = []
    for half in encoded:
        if isinstance(half, DataError):
            return half
        halves.append(half)
    if isinstance(row, Preference):
        chosen, rejected = halves
        if chosen.digest_bytes() == rejected.digest_bytes():
            return RowRejected(
                "DATA_PAIR_CUT_ALIKE",
                "difference cut away",
                f"What is left of both answers after {len(chosen):,} tokens is the same.",
                "Raise max_length or shorten the prompt.",
            )
        return Pair(chosen, rejected)
    if isinstance(row, Unpaired):
        return Noted(halves[0], wanted=row.label)
    if isinstance(row, PromptOnly):
        return Noted(halves[0], columns=row.columns, turns=row.prompt)
    return halves[0]


def answered(row: Normalised) -> Conversation | None:
    """The conversation whose last answer a generated one is compared with, the better or the wanted one; None where there is
    no such answer."""
    if isinstance(row, Preference):
        turns = row.prompt + row.chosen
    elif isinstance(row, Unpaired) and row.label:
        turns = row.prompt + row.completion
    elif isinstance(row, Conversation):
        return row
    else:
        return None
    return Conversation(turns, row.tools)
