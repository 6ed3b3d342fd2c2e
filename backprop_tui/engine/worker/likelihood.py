"""How likely a model finds rows: the mean negative log-likelihood of each, in batches that fit the memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from backprop_tui.engine.scoring_wire import FEWEST
from backprop_tui.engine.worker.faults import is_out_of_memory
from backprop_tui.engine.worker.rows import IGNORED, Collator, RowStore, Sequences
from backprop_tui.protocol.errors import DataError, UnavailableError

#: Tokens of one row whose probabilities over the whole vocabulary are held in float32 at once.
_PIECE = 1024
#: Padding is neither attended to nor counted, so that any id does.
_PAD = 0

Scored = list[tuple[int, float | None, int]]


def score_rows(
    model: Any, store: RowStore, *, batch_size: int, on_smaller: Callable[[int, int], None] = lambda rows, tokens: None
) -> Iterator[Scored]:
    """Score every row, longest first: a memory that does not suffice is known at the first batch.

    When it runs out the batch is halved; later ones, of shorter rows, hold as many tokens as fitted, up to `batch_size`
    rows.

    Args:
        model: a causal language model of transformers in evaluation mode.
        store: the rows; what is not ignored in their labels counts.
        batch_size: rows per forward pass at most.
        on_smaller: told (rows, tokens of each) of the next attempt when memory ran out.

    Yields:
        For some rows each: number, mean negative log-likelihood in nats over the tokens that count (None for fewer than
        `FEWEST`), and how many count.

    Raises:
        DataError: MODEL_VOCABULARY_SMALL, a token the model has no embedding for.
        UnavailableError: OUT_OF_MEMORY, not even one row fits.
    """
    _check_vocabulary(model, store)
    counts, lengths = store.learnt_lengths, store.lengths
    short = np.flatnonzero(counts < FEWEST)
    if len(short):
        yield [(int(row), None, int(counts[row])) for row in short]
    order = [row for row in np.argsort(-lengths, kind="stable").tolist() if counts[row] >= FEWEST]
    collator = Collator(Sequences.plain(store), _PAD)
    most_tokens: int | None = None
    at = 0
    while at < len(order):
        longest = int(lengths[order[at]])
        size = batch_size if most_tokens is None else max(1, min(batch_size, most_tokens // longest))
        rows = order[at : at + size]
        sums = _sums_or_none(model, collator, rows)
        if sums is None:
            # Out of reach of the exception, whose frames keep the tensors of the failed attempt alive.
            if model.device.type == "cuda":
                torch.cuda.empty_cache()
            if len(rows) == 1:
                raise UnavailableError(
                    "OUT_OF_MEMORY",
                    f"Memory does not suffice to score one row of {longest:,} tokens.",
                    "Set a smaller max_length, or choose a smaller model.",
                )
            most_tokens = len(rows) // 2 * longest
            on_smaller(len(rows) // 2, longest)
            continue
        yield [(row, total / int(counts[row]), int(counts[row])) for row, total in zip(rows, sums, strict=True)]
        at += len(rows)


def _sums_or_none(model: Any, collator: Collator, rows: list[int]) -> list[float] | None:
    try:
        return summed_nll(model, collator.batch(rows))
    except Exception as error:
        if is_out_of_memory(error):
            return None
        raise


def summed_nll(model: Any, batch: dict[str, Any]) -> list[float]:
    """Negative log-likelihood of each row of a batch in nats, added up in float64 over the tokens that count.

    Args:
        model: a causal language model of transformers.
        batch: `input_ids`, `attention_mask` and `labels` of shape (rows, longest), padded on the right.
    """
    targets = batch["labels"][:, 1:]
    # Only where the next token counts is the vocabulary looked at: for answers to long questions a small part of the row.
    columns = (targets != IGNORED).any(dim=0).nonzero().flatten()
    targets = targets[:, columns].to(model.device)
    options = {"logits_to_keep": columns.to(model.device)} if _keeps_logits(model) else {}
    with torch.inference_mode():
        logits = model(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            use_cache=False,
            **options,
        ).logits
        if not options:
            logits = logits[:, columns.to(model.device)]
        sums = []
        for row, wanted in zip(logits, targets, strict=True):
            total = torch.zeros((), dtype=torch.float64, device=model.device)
            for places in (wanted != IGNORED).nonzero().flatten().split(_PIECE):
                losses = functional.cross_entropy(row[places].float(), wanted[places], reduction="none")
                total += losses.double().sum()
            sums.append(total)
        found: list[float] = torch.stack(sums).tolist()
    return found


def _keeps_logits(model: Any) -> bool:
    return "logits_to_keep" in inspect.signature(model.forward).parameters


def _check_vocabulary(model: Any, store: RowStore) -> None:
    """On a GPU such a token would end the process without a word."""
    known = int(model.get_input_embeddings().weight.shape[0])
    largest = max((int(store.row(row)[0].max(initial=0)) for row in range(len(store))), default=0)
    if largest >= known:
        raise DataError(
            "MODEL_VOCABULARY_SMALL",
            f"The tokenizer gives token {largest:,} and the model knows {known:,}.",
            "Use the tokenizer that belongs to the model.",
        )
