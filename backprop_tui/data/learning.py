"""From normalised rows to what is learnt of them, thousands at once: each row's renderings, and masks that make sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.finding.places import DataSet
from backprop_tui.data.formats import Conversation, Normalised, PlainText
from backprop_tui.data.rendering.joined import Learnt, joined, parts_of
from backprop_tui.data.rows import Problem, RowRejected
from backprop_tui.data.selection import Progress, no_usable_rows
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text

_BATCH = 4096
_REFUSED = "refused by the chat template"


def encode_rows(
    rows: Iterable[tuple[int, Normalised]],
    total: int,
    tokenizer: RemoteTokenizer,
    part: DataPart,
    dropped: Counter[str],
    on_progress: Progress | None,
    data: DataSet,
) -> list[Learnt]:
    """Every row that can be learnt from, in order; the others are counted.

    Args:
        rows: with their indices.
        total: how many they are.
        tokenizer: of the model.
        part: the run's data settings.
        dropped: gets the rows left out, by reason.
        on_progress: told how far it is.
        data: where the rows are from, for the words of an error.

    Raises:
        DataError: DATA_NO_USABLE_ROWS, or DATA_MASK_FULL.
    """
    encoded: list[Learnt] = []
    first: dict[str, Problem] = {}
    reasons: Counter[str] = Counter()
    done = 0
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        for (index, _), result in zip(batch, as_learnt(tokenizer, batch, part), strict=True):
            if not isinstance(result, DataError):
                encoded.append(result)
                continue
            reason = result.reason if isinstance(result, RowRejected) else _REFUSED
            reasons[reason] += 1
            first.setdefault(reason, Problem(result.code, result.cause, result.next_step, row=index + 1))
        refuse_useless_masks(encoded[-len(batch) :], batch, part)
        done += len(batch)
        if on_progress:
            on_progress(done, total)
    dropped.update(reasons)
    if not encoded and total:
        raise no_usable_rows(safe_text(data.words), total, reasons, first)
    return encoded


def as_learnt(
    tokenizer: RemoteTokenizer, rows: list[tuple[int, Normalised]], part: DataPart
) -> list[Learnt | DataError]:
    """Rows as they are learnt from, each made of its renderings; only what imitates may learn prompts as well."""
    parts = [[(index, *part_of) for part_of in parts_of(row)] for index, row in rows]
    flat = [one for row in parts for one in row]
    whole_rows = all(isinstance(row, Conversation | PlainText) for _, row in rows)
    results = iter(
        tokenizer.encode_many(
            [(index, conversation) for index, conversation, _ in flat],
            max_length=part.max_length,
            train_on=part.train_on if whole_rows else "answers",
            given=[] if whole_rows else [given for _, _, given in flat],
        )
    )
    return [joined(row, [next(results) for _ in own]) for (_, row), own in zip(rows, parts, strict=True)]


def refuse_useless_masks(rows: list[Learnt], read: list[tuple[int, Normalised]], part: DataPart) -> None:
    """A mask that masks nothing where answers were to be learnt means that prompts would be learnt as well.

    Raises:
        DataError: DATA_MASK_FULL.
    """
    chats = {index for index, row in read if isinstance(row, Conversation)}
    masked = [row for row in rows if row.index in chats]
    if part.train_on == "answers" and masked and all(row.trained_tokens == len(row) for row in masked):
        raise DataError(
            "DATA_MASK_FULL",
            f"Every token of all {len(masked):,} rows looked at would be learnt, the prompts included.",
            "Choose another chat template, or set train_on=everything if that is meant.",
        )
