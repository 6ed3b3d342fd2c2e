"""Scoring rows: how well a model of this machine predicts each row of a dataset, as its perplexity.

Here the rows are read and tokenised; the model is at work in a process of its own (`engine.worker.scoring`).
"""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backprop_tui.engine import scoring_wire as wire
from backprop_tui.launch.scorer import Cancelled, Scorer, ScoringCancelled
from backprop_tui.launch.scores import RowScore, Scores
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.data.formats import Normalised
    from backprop_tui.data.rendering.encoded import EncodedRow
    from backprop_tui.data.selection import Scan
    from backprop_tui.protocol.spec import DataPart

__all__ = ["Progress", "RowScore", "Scores", "ScoringCancelled", "Stage", "What", "score_data"]

What = Literal["answers", "everything"]
Stage = Literal["reading", "tokenising", "loading", "scoring"]
#: on_progress(stage, done, total) in rows; `total` is None while it is unknown.
Progress = Callable[[Stage, int, int | None], None]

#: Rows tokenised between two looks at whether the scores are still wanted.
_BATCH = 1024
#: Bytes of ids handed over at once.
_SEND = 4 << 20
_REFUSED = "refused by the chat template"
_SHORT = f"fewer than {wire.FEWEST} tokens to score"
_NOT_A_NUMBER = "the model gives no number"


def score_data(
    data: str | DataSet,
    model: str,
    *,
    part: DataPart | None = None,
    max_length: int = 2048,
    what: What = "answers",
    device: Literal["auto", "cuda", "cpu"] = "auto",
    batch_size: int = 8,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Scores:
    """Score every usable row of a dataset. Nothing is written.

    Rows are rendered with the model's own chat template, as for training. A model without one can score everything: a
    conversation is then the texts of its turns, one below the other.

    Args:
        data: words as `data.finding.places.resolve` takes them, or the resolved set.
        model: `demo`, a model directory, or a hub id that is in the local cache.
        part: how rows are read (format, columns, filter, duplicates, damaged rows); None looks at the rows.
        max_length: longest row in tokens; what is beyond is not looked at. The model's own context is a limit as well.
        what: the answers only, or every token but the first.
        device: where the model runs.
        batch_size: rows per forward pass at most; halved as often as memory asks for it.
        on_progress: told how far it is.
        cancelled: asked several times a second; True ends everything.

    Raises:
        UnavailableError: EXTRA_MISSING, OUT_OF_MEMORY, GPU_UNAVAILABLE, SCORER_DIED.
        DataError: the data or the model is not usable as it is.
        UsageError: a word or a setting that does not exist, or MODEL_NOT_HERE.
        ScoringCancelled: `cancelled` said so.
    """
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.finding.places import resolve
    from backprop_tui.data.selection import scan
    from backprop_tui.data.versions.fingerprint import set_state
    from backprop_tui.hardware.extras import require
    from backprop_tui.protocol.spec import DataPart

    began = time.monotonic()
    require("train")
    if batch_size < 1 or max_length < wire.FEWEST:
        raise UsageError(
            "SCORING_INVALID",
            f"A batch of {batch_size:,} rows of at most {max_length:,} tokens can't be scored.",
            f"Set batch_size to at least 1 and max_length to at least {wire.FEWEST}.",
        )
    tell = _Teller(on_progress, cancelled or (lambda: False))
    directory = _local_model(model)
    longest = _longest(directory, max_length)
    where = resolve(data) if isinstance(data, str) else data
    part = part or DataPart()
    state = set_state(where)
    found = scan(where, part, on_progress=lambda done, total: tell("reading", done, total))
    scores = Scores(found.rows, dict(found.dropped), found.kept)
    with Scorer(wire.Task(str(directory), device, batch_size), tell.cancelled) as scorer:
        with RemoteTokenizer(directory, size=0) as tokenizer:
            sent = _tokenise(found, part, tokenizer, scorer, scores, longest, what, tell)
        if set_state(where) != state:
            raise DataError("DATA_CHANGED", "The data changed while it was read.", "Start again once it is complete.")
        tell("loading", 0, None)
        scorer.send(wire.Go())
        _collect(scorer, sent, scores, tell)
    scores.seconds = time.monotonic() - began
    return scores


class _Teller:
    """Tells how far it is, and raises when that is not wanted any more."""

    def __init__(self, on_progress: Progress | None, cancelled: Cancelled) -> None:
        self._on_progress = on_progress
        self.cancelled = cancelled

    def __call__(self, stage: Stage, done: int, total: int | None) -> None:
        if self.cancelled():
            raise ScoringCancelled
        if self._on_progress:
            self._on_progress(stage, done, total)


def _local_model(model: str) -> Path:
    from backprop_tui.data.models import resolve_model

    directory = resolve_model(model, need_template=False)
    if directory is None:
        raise UsageError(
            "MODEL_NOT_HERE",
            f"The model {safe_text(model, limit=200)} is not on this machine.",
            "Name a model directory, or download it first: `hf download MODEL`.",
        )
    return directory


def _longest(directory: Path, max_length: int) -> int:
    """Beyond its context a model gives no sensible figures, or none at all."""
    from backprop_tui.data.models import model_facts

    context = model_facts(directory).context
    return max_length if context is None else min(max_length, context)


def _tokenise(
    found: Scan,
    part: DataPart,
    tokenizer: RemoteTokenizer,
    scorer: Scorer,
    scores: Scores,
    longest: int,
    what: What,
    tell: _Teller,
) -> list[int]:
    """Hand all rows over.

    Returns:
        For each row handed over, which of the usable rows it is.
    """
    from backprop_tui.data.rows import Problem, RowRejected
    from backprop_tui.data.selection import no_usable_rows, rows_at

    rows: Iterable[tuple[int, Normalised]] = rows_at(found.data, part, set(found.kept))
    if not tokenizer.has_template and what == "everything":
        rows = _as_text(rows)
    elif found.chats:
        tokenizer.check()
    sent: list[int] = []
    first: dict[str, Problem] = {}
    waiting = iter(rows)
    done = 0
    while batch := list(islice(waiting, _BATCH)):
        tell("tokenising", done, len(found.kept))
        taken: list[EncodedRow] = []
        results = tokenizer.encode_many(batch, max_length=longest, train_on=what)
        for number_of_row, ((place, _), result) in enumerate(zip(batch, results, strict=True), done):
            if isinstance(result, DataError):
                reason = result.reason if isinstance(result, RowRejected) else _REFUSED
                scores.unscored[place] = reason
                first.setdefault(reason, Problem(result.code, result.cause, result.next_step, row=place + 1))
                continue
            taken.append(result)
            sent.append(number_of_row)
            scores.cut_rows += bool(result.cut)
        for message in _messages(taken):
            scorer.send(message)
        done += len(batch)
    if not sent:
        raise no_usable_rows("the data", len(found.kept), Counter(scores.unscored.values()), first)
    return sent


def _as_text(rows: Iterable[tuple[int, Normalised]]) -> Iterator[tuple[int, Normalised]]:
    from backprop_tui.data.formats.conversation import PlainText
    from backprop_tui.data.tools.texts import row_text

    for place, row in rows:
        yield place, PlainText(row_text(row))


def _messages(rows: list[EncodedRow]) -> Iterator[wire.Rows]:
    """Rows as they travel, some megabytes at a time."""
    lengths: list[int] = []
    ids, counted = bytearray(), bytearray()
    for row in rows:
        row_ids, row_counted = row.parts()
        lengths.append(len(row))
        ids += row_ids
        counted += row_counted
        if len(ids) >= _SEND:
            yield wire.Rows(lengths, bytes(ids), bytes(counted))
            lengths, ids, counted = [], bytearray(), bytearray()
    if lengths:
        yield wire.Rows(lengths, bytes(ids), bytes(counted))


def _collect(scorer: Scorer, sent: list[int], scores: Scores, tell: _Teller) -> None:
    """Put the answers, which come longest row first, to their places."""
    usable = len(scores.places)
    scores.nll = array("d", [math.nan]) * usable
    scores.tokens = array("Q", [0]) * usable
    done = 0
    for answer in scorer.answers():
        if answer["k"] == wire.LOADED:
            scores.device, scores.dtype = safe_text(answer["device"]), safe_text(answer["dtype"])
        elif answer["k"] == wire.SMALLER:
            scores.notes.append(
                f"Memory ran out; batches were made smaller: {answer['rows']:,} rows of {answer['tokens']:,} tokens."
            )
            continue
        else:
            for row, nll, tokens in zip(answer["rows"], answer["nll"], answer["tokens"], strict=True):
                place = scores.places[sent[row]]
                value = number(nll)
                scores.tokens[sent[row]] = tokens
                if value is None or math.isnan(value):
                    scores.unscored[place] = _SHORT if nll is None else _NOT_A_NUMBER
                else:
                    scores.nll[sent[row]] = value
            done += len(answer["rows"])
        tell("scoring", done, len(sent))
