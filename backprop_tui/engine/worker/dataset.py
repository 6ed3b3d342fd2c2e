"""The rows of a run, as `backprop_tui.data` prepares them, in the form the trainer and the examiner read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.data import training_set
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.formats import Conversation
from backprop_tui.data.looking.packing import pack_rows
from backprop_tui.engine.worker.attention import uses_rows
from backprop_tui.engine.worker.channel import Phase
from backprop_tui.engine.worker.measuring import Prompt
from backprop_tui.engine.worker.rows import RowStore, Sequences
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class RunData:
    """Everything a run reads.

    Attributes:
        train, held_out: tokenised rows (`held_out` may be empty). sequences: `train` as drawn, packed or not.
        prompts: held-out questions to answer. stop_ids: tokens that close an answer.
        dropped: rows left out. cut_rows: rows shortened to `max_length`. overlap: training rows that are held out as well.
        sources, train_sources, held_sources: as in `training_set.TrainingSet`.
        fingerprint: equal when, and only when, the same rows would be drawn in the same order.
    """

    train: RowStore
    held_out: RowStore
    sequences: Sequences
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
    data = spec.data
    # The children hold a vocabulary each: they are gone before the weights need the memory.
    with RemoteTokenizer(directory, size=0) as chat:
        built = training_set.build(
            data,
            directory,
            seed=spec.optim.seed,
            tokenizer=chat,
            on_progress=lambda done, total: phase.progress(done, total, "rows"),
        )
        prompts = prompts_of(chat, built.eval_conversations, spec.run.samples, data.max_length)
        stop_ids = list(chat.stop_ids)
    train = RowStore(built.train)
    if data.packing:
        packs = pack_rows(
            train.lengths, data.max_length, spec.optim.batch_size, spec.optim.seed, in_order=data.order != "shuffled"
        )
        sequences = Sequences(train, packs, packed=True, flat=uses_rows(spec))
    else:
        sequences = Sequences.plain(train, flat=uses_rows(spec))
    return RunData(
        train=train,
        held_out=RowStore(built.eval),
        sequences=sequences,
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
