"""What changed in a run since it was launched: the micro-batch after memory ran out, the learning rate after a command.

run.json stays as it was written. The journal tells each change, the view folds them, the host hands them to the next
attempt's worker in `BACKPROP_CHANGES`, and the worker applies what its checkpoint does not hold yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from backprop_tui.protocol.codec import number

#: The environment variable a worker reads them from.
VARIABLE = "BACKPROP_CHANGES"
#: Changes of the learning rate that are remembered; a run has a handful.
_MOST_RATES = 200


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """Rows per forward pass (`batch_size`), passes per optimiser step, and rows per pass of an evaluation.

    `batch_size * accumulation`, the effective batch, never changes.
    """

    batch_size: int
    accumulation: int
    eval_batch_size: int

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> BatchSizes | None:
        """What a run.json asks for; None when it does not say."""
        optim = spec.get("optim")
        optim = optim if isinstance(optim, Mapping) else {}
        rows, passes = number(optim.get("batch_size")), number(optim.get("accumulation"))
        if rows is None or passes is None or not (1 <= rows < 1 << 31 and 1 <= passes < 1 << 31):
            return None
        return cls(int(rows), int(passes), int(rows))

    def halved(self) -> BatchSizes | None:
        """At most half the rows per pass and the same effective batch; None when a pass has one row already.

        The new size divides the effective batch, so that every optimiser step keeps exactly its rows: 6 x 2 becomes 3 x 4,
        and 5 x 2 becomes 2 x 5.
        """
        effective = self.batch_size * self.accumulation
        for rows in range(self.batch_size // 2, 0, -1):
            if effective % rows == 0:
                return replace(self, batch_size=rows, accumulation=effective // rows)
        return None

    def eval_halved(self) -> BatchSizes | None:
        """Half the rows per pass of an evaluation, training untouched; None when a pass has one row already."""
        return replace(self, eval_batch_size=self.eval_batch_size // 2) if self.eval_batch_size > 1 else None

    def to_dict(self) -> dict[str, int]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, words: object) -> BatchSizes | None:
        """Rebuild; None when the words are not three counts."""
        if not isinstance(words, Mapping):
            return None
        values = [words.get(name) for name in ("batch_size", "accumulation", "eval_batch_size")]
        if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 1 for value in values):
            return None
        return cls(*values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RateChange:
    """One change of the learning rate: after `step` steps, to `rate`, or by `factor` where `rate` is None.

    `id` is the command's; a checkpoint names the last change it holds.
    """

    id: str
    step: int
    rate: float | None = None
    factor: float | None = None

    @property
    def words(self) -> str:
        """What it does, as part of a sentence."""
        if self.rate is not None:
            return f"learning rate {self.rate:g}"
        return "half the learning rate" if self.factor == 0.5 else f"{self.factor:g} times the learning rate"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, words: object) -> RateChange | None:
        """Rebuild; None when the words are not a change."""
        if not isinstance(words, Mapping):
            return None
        identity, step = words.get("id"), number(words.get("step"))
        rate, factor = number(words.get("rate")), number(words.get("factor"))
        if not isinstance(identity, str) or step is None or not 0 <= step < 1 << 53:
            return None
        if (rate is None) == (factor is None) or not 0 < (rate if rate is not None else factor or 0.0) <= 1:
            return None
        return cls(identity, int(step), rate, factor)


def with_rate(changes: Sequence[RateChange], new: RateChange) -> list[RateChange]:
    """The changes with one more. What was changed at a later step belonged to steps that have been given up."""
    if any(change.id == new.id for change in changes):
        return list(changes)
    return [*(change for change in changes if change.step <= new.step), new][-_MOST_RATES:]


def not_held(changes: Sequence[RateChange], held: str, step: int) -> list[RateChange]:
    """Changes that a checkpoint of `step` does not hold, `held` being the last one it does; oldest first."""
    places = [place for place, change in enumerate(changes) if change.id == held]
    rest = changes[places[-1] + 1 :] if places else changes
    return [change for change in rest if change.step >= step]


@dataclass(frozen=True, slots=True)
class Changes:
    """All of them. `batch` is None while it is as the spec says."""

    batch: BatchSizes | None = None
    rates: Sequence[RateChange] = field(default_factory=tuple)

    def to_variable(self) -> str:
        """The environment variable's value."""
        batch = None if self.batch is None else self.batch.to_dict()
        return json.dumps({"batch": batch, "rates": [change.to_dict() for change in self.rates]})

    @classmethod
    def from_variable(cls, text: str | None) -> Changes:
        """Read it back; nothing, or what does not fit, means no change."""
        try:
            words = json.loads(text or "{}")
        except ValueError:
            return cls()
        if not isinstance(words, dict):
            return cls()
        rates = words.get("rates")
        read = [RateChange.from_dict(item) for item in (rates if isinstance(rates, list) else ())]
        return cls(BatchSizes.from_dict(words.get("batch")), tuple(change for change in read if change is not None))
