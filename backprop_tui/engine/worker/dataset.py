"""The rows of a run, as `backprop_tui.data` prepares them, in the form the trainer and the examiner read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backprop_tui.data import training_set
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.formats import Conversation, Message
from backprop_tui.data.purposes import ANSWER
from backprop_tui.data.rendering.joined import Learnt, Noted, renderings_of
from backprop_tui.engine.worker.channel import Phase
from backprop_tui.engine.worker.measuring import Prompt
from backprop_tui.engine.worker.objectives import find_objective
from backprop_tui.engine.worker.rows import RowStore, Sequences
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import ROWS_OF, RunSpec


@dataclass(frozen=True, slots=True)
class RunData:
    """Everything a run reads.

    Attributes:
        train, held_out: tokenised rows (`held_out` may be empty); a pair is two of them, one after the other.
        sequences: `train` as drawn, packed or not. held_sequences: `held_out` as measured, None where it is empty.
        rows, held_rows: rows of the data in them.
        prompts: held-out questions to answer. stop_ids: tokens that close an answer.
        dropped: rows left out. cut_rows: rows shortened to `max_length`. overlap: training rows that are held out as well.
        sources, train_sources, held_sources: as in `training_set.TrainingSet`.
        fingerprint: equal when, and only when, the same rows would be drawn in the same order.
    """

    train: RowStore
    held_out: RowStore
    sequences: Sequences
    held_sequences: Sequences | None
    rows: int
    held_rows: int
    prompts: list[Prompt]
    stop_ids: list[int]
    dropped: int
    cut_rows: int
    overlap: int
    sources: list[str]
    train_sources: list[int]
    held_sources: list[int] | None
    fingerprint: dict[str, Any]


def load_data(spec: RunSpec, directory: Path, phase: Phase) -> RunData:
    """Read, tokenise and split the data of a run.

    Raises:
        DataError: nothing usable in it, or the model has no chat template for it.
        UsageError: the filter, the mapping of columns or a weight is not valid.
    """
    data, objective, purpose = spec.data, find_objective(spec.task.objective), ROWS_OF[spec.task.objective]
    # The children hold a vocabulary each: they are gone before the weights need the memory.
    with RemoteTokenizer(directory, size=0) as chat:
        built = training_set.build(
            data,
            directory,
            seed=spec.optim.seed,
            purpose=purpose,
            tokenizer=chat,
            on_progress=lambda done, total: phase.progress(done, total, "rows"),
        )
        samples = spec.run.samples if objective.answers else 0
        prompts = prompts_of(chat, built.eval_conversations, samples, data.max_length)
        stop_ids = list(chat.stop_ids)
    train, held_out = stored(built.train), stored(built.eval)
    held_sequences = objective.sequences(held_out, spec, training=False) if built.eval else None
    if purpose == "prompt" and held_sequences is not None:
        prompts = asking_prompts(held_sequences, samples)
    return RunData(
        train=train,
        held_out=held_out,
        sequences=objective.sequences(train, spec, training=True),
        held_sequences=held_sequences,
        rows=len(built.train),
        held_rows=len(built.eval),
        prompts=prompts,
        stop_ids=stop_ids,
        dropped=built.dropped_rows,
        cut_rows=built.cut_rows,
        overlap=built.overlap,
        sources=built.sources,
        train_sources=built.train_sources,
        held_sources=built.eval_sources,
        fingerprint=built.fingerprint,
    )


def stored(rows: Sequence[Learnt]) -> RowStore:
    """Rows as the trainer reads them, renderings of one row after each other.

    Noted beside them: `wanted`, the labels of marked answers; of bare prompts `turns`, what was said (lists of dicts), and
    `columns`, the rows' other columns (dicts).
    """
    store = RowStore(rendering for row in rows for rendering in renderings_of(row))
    marks = [row.wanted for row in rows if isinstance(row, Noted) and row.wanted is not None]
    if marks:
        store.notes["wanted"] = np.array(marks, dtype=bool)
    asked = [row for row in rows if isinstance(row, Noted) and row.columns is not None]
    if asked:
        store.notes["columns"] = _objects([row.columns for row in asked])
        store.notes["turns"] = _objects([[turn_words(turn) for turn in row.turns] for row in asked])
    return store


def turn_words(turn: Message) -> dict[str, Any]:
    """A turn as chat templates and reward functions know it."""
    words: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.name:
        words["name"] = turn.name
    if turn.tool_calls:
        calls = [{"name": call.name, "arguments": call.arguments} for call in turn.tool_calls]
        words["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return words


def asking_prompts(held_out: Sequences, most: int) -> list[Prompt]:
    """The first `most` held-out prompts as questions; the column `answer`, where it is text, is what is expected."""
    from backprop_tui.engine.worker.objectives.asking import asked_of

    found = []
    for asked in asked_of(held_out, range(min(most, len(held_out)))):
        answer = asked.columns.get(ANSWER)
        last = str(asked.turns[-1].get("content") or "")
        found.append(Prompt(list(asked.ids), last, answer if isinstance(answer, str) else "", asked))
    return found


def _objects(values: Sequence[object]) -> np.ndarray[Any, Any]:
    """Shape (values,), whatever they are: lists of one length would become further dimensions."""
    found = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        found[place] = value
    return found


def prompts_of(chat: RemoteTokenizer, rows: Sequence[object], most: int, longest: int) -> list[Prompt]:
    """The first `most` held-out conversations as questions: everything before the last answer.

    Questions of more than `longest` tokens are passed over, and so is plain text, which asks nothing.
    """
    prompts: list[Prompt] = []
    for row in rows:
        if len(prompts) == most:
            break
        if not isinstance(row, Conversation):
            continue
        answers = [place for place, message in enumerate(row.messages) if message.role == "assistant"]
        before, answer = row.messages[: answers[-1]], row.messages[answers[-1]]
        try:
            ids = chat.encode_prompt(before, row.tools) if before else []
        except DataError:
            continue
        if 0 < len(ids) <= longest:
            prompts.append(Prompt(ids, before[-1].content, answer.content))
    return prompts
