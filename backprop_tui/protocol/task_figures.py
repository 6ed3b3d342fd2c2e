"""Figures of an objective beside the loss: which keys of an event are such, and what they are called and measured in.

The worker sends them with a step or an evaluation under their own names, as numbers beside the usual ones; whatever a
journal of another version holds is shown under the name it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backprop_tui.protocol.codec import number
from backprop_tui.protocol.text import safe_text

#: Keys of `payloads.StepPayload` and `payloads.EvalPayload`, which tell of every run.
_EVERY_STEP = frozenset(
    {
        "step",
        "epoch",
        "loss",
        "grad_norm",
        "lr",
        "tokens",
        "tokens_per_s",
        "step_s",
        "trained",
        "batches",
        "token_accuracy",
    }
)
_EVERY_EVAL = frozenset({"step", "loss", "perplexity", "rows", "seconds", "best", "exact_match", "token_accuracy"})
#: Most figures taken of one event, and the longest name; a foreign journal may hold any number.
_MOST, _LONGEST = 32, 48
#: The mean reward of the answers that a run learns from.
REWARD = "reward"
#: Rewards of a person's own functions, by their names.
OF_A_FUNCTION = "rewards/"


@dataclass(frozen=True, slots=True)
class FigureWords:
    """A figure's title and unit; figures of one unit may share an axis. A `share` is between 0 and 1."""

    title: str
    unit: str

    def value(self, value: float | None) -> str:
        """The value in words: a share in percent, anything else with four significant digits."""
        if value is None:
            return "–"
        return f"{100 * value:.0f} %" if self.unit == "share" else f"{value:.4g}"


#: In the order in which they are shown; the first ones tell most.
WORDS: dict[str, FigureWords] = {
    "reward": FigureWords("reward", "reward"),
    "reward_std": FigureWords("reward spread", "reward"),
    "rewards/margin": FigureWords("reward margin", "reward"),
    "rewards/accuracy": FigureWords("pairs right", "share"),
    "rewards/chosen": FigureWords("reward chosen", "reward"),
    "rewards/rejected": FigureWords("reward rejected", "reward"),
    "log_odds": FigureWords("log odds", "log odds"),
    "nll": FigureWords("imitation loss", "nats"),
    "kl": FigureWords("KL estimate", "nats/answer"),
    "logps/chosen": FigureWords("logp chosen", "nats/answer"),
    "logps/rejected": FigureWords("logp rejected", "nats/answer"),
    "rewards_flat": FigureWords("without contrast", "share"),
    "completion_tokens": FigureWords("answer length", "tokens/answer"),
    "completions_cut": FigureWords("answers cut", "share"),
    "entropy": FigureWords("entropy", "nats/token"),
    "kl_per_token": FigureWords("KL from the base", "nats/token"),
    "clipped": FigureWords("tokens clipped", "share"),
}


def words_of(name: str) -> FigureWords:
    """What a figure is called; one that is not known goes by its name and shares no axis, but for rewards of functions."""
    if name not in WORDS and name.startswith(OF_A_FUNCTION):
        return FigureWords(
            safe_text(f"reward {name.removeprefix(OF_A_FUNCTION).replace('/', ' ')}", limit=_LONGEST), "reward"
        )
    return WORDS.get(name) or FigureWords(safe_text(name.replace("_", " "), limit=_LONGEST), name)


def step_figures(data: Mapping[str, Any]) -> dict[str, float]:
    """The objective's figures among the payload of a `step`, the most telling first."""
    return _figures(data, _EVERY_STEP)


def eval_figures(data: Mapping[str, Any]) -> dict[str, float]:
    """The same of an `eval`."""
    return _figures(data, _EVERY_EVAL)


def said(figures: Mapping[str, float | None], most: int = 2) -> list[str]:
    """The most telling figures as words: `reward margin 1.25`."""
    return [f"{words_of(name).title} {words_of(name).value(value)}" for name, value in list(figures.items())[:most]]


def _figures(data: Mapping[str, Any], usual: frozenset[str]) -> dict[str, float]:
    found = {
        name: value
        for name, raw in data.items()
        if name not in usual and len(name) <= _LONGEST and (value := number(raw)) is not None
    }
    known = [name for name in WORDS if name in found]
    names = [*known, *(name for name in found if name not in WORDS)]
    return {name: found[name] for name in names[:_MOST]}
