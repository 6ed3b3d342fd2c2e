"""Measuring on held-out rows: the objective's loss and figures, and answers compared word for word."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.objectives import Objective
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.rows import Sequences
from backprop_tui.engine.worker.sampling import generate_answers
from backprop_tui.engine.worker.trainer import StepTrainer
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.text import safe_block


@dataclass(frozen=True, slots=True)
class Prompt:
    """A held-out question: token ids up to where the answer begins, the text shown, the answer expected ("" where none is
    known), and what the objective knows of the row beside."""

    ids: list[int]
    text: str
    reference: str
    asked: Any = None


class Examiner:
    """Measures the model as it is; leaves weights, mode and random numbers as they were.

    Args:
        objective: what the loss means. sequences: held-out rows, None when nothing is held out. prompts: questions to answer.
        stop_ids: tokens that end an answer. batch_size: rows per forward pass.
    """

    def __init__(
        self,
        sink: EventSink,
        inbox: Inbox,
        progress: Progress,
        *,
        objective: Objective,
        sequences: Sequences | None,
        prompts: list[Prompt],
        stop_ids: list[int],
        batch_size: int,
        answer_tokens: int,
        precision: Precision,
        tokenizer: Any,
    ) -> None:
        self._sink = sink
        self._inbox = inbox
        self._progress = progress
        self._objective = objective
        self._sequences = sequences
        self._prompts = prompts
        self._stop_ids = stop_ids
        self.batch_size = batch_size
        self._answer_tokens = answer_tokens
        self._precision = precision
        self._tokenizer = tokenizer

    @property
    def able(self) -> bool:
        """Whether there is anything to measure on."""
        return self._sequences is not None or bool(self._prompts)

    def measure(
        self, trainer: StepTrainer, source: Literal["base", "tuned"], known: float | None = None
    ) -> bool | None:
        """Send `sample` events and an `eval` event for the present step.

        The base is measured without being a candidate for the best. `known` is the held-out loss where it was measured
        already.

        Returns:
            Whether the loss is the best so far; None when it was not measured: nothing held out, or asked to stop.
        """
        step = self._progress.step
        started = time.perf_counter()
        with undisturbed(trainer.model):
            match = self._answer(trainer, step, source)
            found = self._held_out(trainer) if known is None else {"loss": known}
        if found is None:
            return None
        best = source == "tuned" and self._progress.measured(step, self._objective.worth(found))
        figures: dict[str, Any] = {} if match is None else {"exact_match": match}
        figures |= {name: value for name, value in found.items() if name != "loss"}
        assert self._sequences is not None
        self._sink.send(
            ev.EVAL,
            step=step,
            loss=found["loss"],
            perplexity=_perplexity(found["loss"]) if self._objective.per_token else None,
            rows=len(self._sequences),
            seconds=round(time.perf_counter() - started, 4),
            best=best,
            **figures,
        )
        return best

    def _held_out(self, trainer: StepTrainer) -> dict[str, float] | None:
        """Loss and figures over all held-out rows; None when there are none or a stop came between."""
        sequences = self._sequences
        if sequences is None:
            return None
        batches = trainer.batches(sequences)
        # Longest first: less padding, and memory that does not suffice is known at the first batch.
        order = np.argsort(-sequences.lengths, kind="stable").tolist()
        starts = range(0, len(order), self.batch_size)
        sums: dict[str, tuple[float, float]] = {}
        with self._sink.phase("eval") as phase:
            for place, counts in world().rounds(len(starts)):
                self._inbox.refresh()
                if self._inbox.stop_asked():
                    return None
                phase.progress(place, len(starts), "batches")
                hit("worker.eval")
                tally = trainer.measure(batches.batch(order[starts[place] : starts[place] + self.batch_size]))
                for name, (total, count) in tally.items() if counts else ():
                    before, counted = sums.get(name, (0.0, 0.0))
                    sums[name] = before + total, counted + count
        sums = world().total_of_pairs(sums)
        means = {name: total / max(1.0, count) for name, (total, count) in sums.items() if count or name == "loss"}
        return trainer.derived(means)

    def _answer(self, trainer: StepTrainer, step: int, source: str) -> float | None:
        """Share of the prompts answered exactly; None when there are none or a stop came between."""
        matches = 0
        if not self._prompts or self._inbox.stop_asked():
            return None
        with self._sink.phase("sample") as phase:
            answers = generate_answers(
                trainer.model,
                self._tokenizer,
                [prompt.ids for prompt in self._prompts],
                most_tokens=self._answer_tokens,
                stop_ids=self._stop_ids,
                autocast=self._precision.autocast,
                stopped=self._inbox.stop_asked,
            )
            index = 0
            for index, (prompt, answer) in enumerate(zip(self._prompts, answers, strict=False), start=1):
                match = bool(prompt.reference) and answer.strip() == prompt.reference.strip()
                matches += match
                marks = trainer.marks(prompt.asked, answer)
                self._sink.send(
                    ev.SAMPLE,
                    step=step,
                    index=index - 1,
                    source=source,
                    prompt=safe_block(prompt.text),
                    reference=safe_block(prompt.reference),
                    output=safe_block(answer),
                    match=match,
                    **({"marks": marks} if marks else {}),
                )
                phase.progress(index, len(self._prompts), "answers")
        comparable = sum(bool(prompt.reference) for prompt in self._prompts)
        return matches / comparable if comparable and index == len(self._prompts) else None


def _perplexity(loss: float) -> float | None:
    try:
        return math.exp(loss)
    except OverflowError:
        return None


@contextlib.contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Evaluation mode, and the random numbers given back: measuring must not change what is learnt."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        model.train(training)
