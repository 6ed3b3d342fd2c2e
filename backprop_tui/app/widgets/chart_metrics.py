"""What is known of metrics by name: their words, their units, whether they are noisy or measured now and then; stable slots."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from backprop_tui.protocol.task_figures import OF_A_FUNCTION, WORDS, words_of
from backprop_tui.protocol.text import safe_text

#: Colours of series; roles `series-1` to `series-8`.
SLOTS = 8


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's words. `unit` tells which metrics may share a y axis; `beside` is one that is drawn along with it."""

    title: str
    unit: str
    noisy: bool = False
    sparse: bool = False
    beside: str = ""


_KNOWN = {
    "loss": Metric("loss", "nats", noisy=True, beside="eval_loss"),
    "eval_loss": Metric("eval loss", "nats", sparse=True),
    "perplexity": Metric("perplexity", "perplexity", sparse=True),
    "exact_match": Metric("exact match", "share", sparse=True),
    "token_accuracy": Metric("token accuracy", "share", noisy=True, beside="eval_token_accuracy"),
    "eval_token_accuracy": Metric("eval accuracy", "share", sparse=True),
    "merge_share": Metric("merge λ", "share", sparse=True),
    "merge_drift": Metric("merge drift", "drift", sparse=True),
    "grad_norm": Metric("grad norm", "norm", noisy=True),
    "lr": Metric("lr", "rate"),
    "tokens_per_s": Metric("tokens/s", "tok/s", noisy=True),
    "step_s": Metric("seconds/step", "s", noisy=True),
    "epoch": Metric("epoch", "epochs"),
    "tokens": Metric("tokens", "tokens"),
    "trained": Metric("trained tokens", "tokens/step", noisy=True),
}
for _name, _words in WORDS.items():
    _KNOWN[_name] = Metric(_words.title, _words.unit, noisy=True, beside=f"eval_{_name}")
    _KNOWN[f"eval_{_name}"] = Metric(f"eval {_words.title}", _words.unit, sparse=True)
#: Metrics of a grid, the most telling first; the rest follows by name, and what is an axis anyway comes last.
_ORDER = (
    "loss",
    "reward",
    "rewards/margin",
    "rewards/accuracy",
    "merge_share",
    "merge_drift",
    "grad_norm",
    "tokens_per_s",
    "lr",
    "eval_loss",
    "perplexity",
    "eval_token_accuracy",
    "exact_match",
    "step_s",
)
_AXES = ("epoch", "tokens")


def metric_of(name: str) -> Metric:
    """What is known of a metric; one of another version has a unit of its own and is taken as it is."""
    if name in _KNOWN:
        return _KNOWN[name]
    held, own = name.startswith("eval_"), name.removeprefix("eval_")
    if own.startswith(OF_A_FUNCTION):
        words = words_of(own)
        title = f"eval {words.title}" if held else words.title
        return Metric(title, words.unit, noisy=not held, sparse=held, beside="" if held else f"eval_{own}")
    return Metric(safe_text(name.replace("_", " "), limit=40), name)


def in_order(names: Iterable[str]) -> list[str]:
    """Metrics as a grid shows them."""
    known = list(names)
    first = [name for name in _ORDER if name in known]
    rest = sorted(name for name in known if name not in _ORDER and name not in _AXES)
    return [*first, *rest, *(name for name in _AXES if name in known)]


def slots_for(ids: Iterable[str], taken: Iterable[int] = ()) -> dict[str, int]:
    """A colour slot (0 to 7) per run id, the same for the same id wherever it is free.

    The id decides; where two would get the same slot the later one moves to the next free one. Slots in `taken` are left
    free while there are others; beyond eight runs slots repeat.
    """
    used = set(taken)
    found: dict[str, int] = {}
    for run_id in ids:
        if len(used) >= SLOTS:
            used = set()
        slot = zlib.crc32(run_id.encode("utf-8", "surrogatepass")) % SLOTS
        while slot in used:
            slot = (slot + 1) % SLOTS
        used.add(slot)
        found[run_id] = slot
    return found
