"""From the tokens of a whole row to what is kept of them and what of that is learnt: masks, cutting, counting. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from backprop_tui.data.rendering.control import Span, TokenTable
from backprop_tui.data.rendering.encoded import EncodedRow, Measure
from backprop_tui.data.rendering.plans import Plan
from backprop_tui.data.rows import RowRejected

if TYPE_CHECKING:
    from tokenizers import Encoding

#: What a tokenizer gives, or ours where the text quotes control tokens.
Tokens: TypeAlias = "Encoding | TokenTable"


def cut_row(tokens: Tokens, plan: Plan, max_length: int | None, eos_id: int | None, index: int) -> EncodedRow:
    """The first `max_length` tokens, None for all, with what of them is learnt; plain text ends with `eos_id` if there is one.

    Args:
        tokens: of the whole text of `plan`.
        plan: which characters are learnt.
        max_length: tokens kept at most.
        eos_id: the end-of-sequence token.
        index: the row's place in its file.
    """
    ids: list[int] = list(tokens.ids)
    if plan.plain:
        if eos_id is not None and (not ids or ids[-1] != eos_id):
            ids.append(eos_id)
        trained = [True] * len(ids)
    else:
        trained = [False] * len(ids)
        for span in plan.spans:
            first, after = token_range(tokens, span, len(plan.text))
            trained[first:after] = [True] * (after - first)
    cut = max(0, len(ids) - max_length) if max_length is not None else 0
    keep = len(ids) - cut
    return EncodedRow(ids[:keep], trained[:keep], cut, plan.spans, index)


def measure_row(tokens: Tokens, plan: Plan, max_length: int | None, eos_id: int | None) -> Measure:
    """The size of the row `cut_row` would make, without making it."""
    total = len(tokens.ids)
    if plan.plain and eos_id is not None and (not total or tokens.ids[-1] != eos_id):
        total += 1
    keep = total if max_length is None else min(total, max_length)
    trained = keep if plan.plain else 0
    for span in () if plan.plain else plan.spans:
        first, after = token_range(tokens, span, len(plan.text))
        trained += max(0, min(after, keep) - first)
    return Measure(keep, trained, total - keep, bool(plan.quoted))


def usable_row(
    tokens: Tokens, plan: Plan, max_length: int | None, eos_id: int | None, index: int, *, prompt: bool = False
) -> EncodedRow:
    """Like `cut_row`, for a row that is to be trained on; `prompt` says that it is asked about and never learnt.

    Raises:
        RowRejected: DATA_ANSWER_CUT where nothing is left to learn, DATA_PROMPT_LONG where a prompt was cut.
    """
    encoded = cut_row(tokens, plan, max_length, eos_id, index)
    if prompt and encoded.cut:
        raise RowRejected(
            "DATA_PROMPT_LONG",
            "prompt too long",
            f"The prompt has {len(encoded) + encoded.cut:,} tokens and max_length is {max_length:,}.",
            "Raise max_length or shorten the prompt.",
        )
    if not encoded.trained_tokens and not prompt:
        raise RowRejected(*answer_cut(len(encoded), encoded.cut))
    return encoded


def token_range(tokens: Tokens, span: Span, length: int) -> Span:
    """The tokens that hold the characters of `span`, as (first, after the last).

    A token that reaches over the span's start belongs to it: it carries the answer's first letters.
    """
    start, end = span
    if not isinstance(tokens, TokenTable):
        first = 0 if start == 0 else tokens.char_to_token(start)
        after = len(tokens.ids) if end == length else tokens.char_to_token(end)
        if first is not None and after is not None:
            return first, after
    inside = [
        place for place, (left, right) in enumerate(tokens.offsets) if right > start and left < end and right > left
    ]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def answer_cut(kept: int, cut: int) -> tuple[str, str, str, str]:
    """Code, reason, cause and next step for a row with nothing left to learn."""
    return (
        "DATA_ANSWER_CUT",
        "answer cut away",
        f"The row has {kept + cut:,} tokens and its answer begins after the first {kept:,}.",
        "Raise max_length or shorten the prompt.",
    )


def as_table(tokens: Tokens) -> TokenTable:
    """Ids and offsets, whoever tokenised."""
    return tokens if isinstance(tokens, TokenTable) else TokenTable(list(tokens.ids), list(tokens.offsets))
