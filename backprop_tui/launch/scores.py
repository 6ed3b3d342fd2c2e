"""What scoring finds: for each usable row how well the model predicts it, or why there is no score."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from backprop_tui.protocol.codec import finite


@dataclass(frozen=True, slots=True)
class RowScore:
    """One row's score.

    Args:
        place: the row's place in the set, from 0 (`Row.index`).
        nll: mean negative log-likelihood over the tokens that count, in nats a token.
        perplexity: exp(nll), infinite where that is more than a number holds.
        tokens: how many tokens count.
    """

    place: int
    nll: float
    perplexity: float
    tokens: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words, the row counted from 1; what is infinite is the word `inf`."""
        words = {"row": self.place + 1, "nll": self.nll, "perplexity": self.perplexity, "tokens": self.tokens}
        return dict(finite(words))


@dataclass(slots=True)
class Scores:
    """The scores of a dataset's usable rows; the arrays have one entry a usable row, in the order of the files.

    Args:
        rows: rows read. dropped: rows that can't be used, by reason; they are not among the places.
        places: the usable rows' places in the set, from 0, ascending.
        nll: mean negative log-likelihood in nats, NaN where `unscored`. tokens: how many tokens count.
        unscored: why a usable row has no score, by its place.
        cut_rows: rows that were scored without their end, which is beyond `max_length` or the model's context.
        device, dtype: what the model ran on and in.
        notes: sentences about how it went, such as a batch made smaller.
        seconds: how long everything took.
    """

    rows: int
    dropped: dict[str, int]
    places: array[int]
    nll: array[float] = field(default_factory=lambda: array("d"))
    tokens: array[int] = field(default_factory=lambda: array("Q"))
    unscored: dict[int, str] = field(default_factory=dict)
    cut_rows: int = 0
    device: str = ""
    dtype: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[RowScore]:
        """The scored rows in the order of the files."""
        for place, nll, tokens in zip(self.places, self.nll, self.tokens, strict=True):
            if not math.isnan(nll):
                yield RowScore(place, nll, perplexity_of(nll), tokens)

    @property
    def perplexities(self) -> list[float | None]:
        """One entry a usable row, None without a score: what `data.tools.percentiles.keep_between` takes."""
        return [None if math.isnan(nll) else perplexity_of(nll) for nll in self.nll]

    @property
    def perplexity(self) -> float | None:
        """Of all scored tokens together, long rows counting for more; None when no row is scored."""
        scored = list(self)
        tokens = sum(score.tokens for score in scored)
        return perplexity_of(math.fsum(score.nll * score.tokens for score in scored) / tokens) if tokens else None

    def to_dict(self) -> dict[str, Any]:
        """A summary in JSON-ready words; what is infinite is the word `inf`."""
        return {
            "rows": self.rows,
            "usable": len(self),
            "scored": len(self) - len(self.unscored),
            "unscored": dict(Counter(self.unscored.values())),
            "dropped": dict(self.dropped),
            "cut_rows": self.cut_rows,
            "perplexity": finite(self.perplexity),
            "device": self.device,
            "dtype": self.dtype,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


def perplexity_of(nll: float) -> float:
    """The perplexity to a mean negative log-likelihood in nats: exp of it, infinite where that is more than a number holds."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf
