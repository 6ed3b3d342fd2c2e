"""Losses of preferences and rewards by the papers' formulas, row by row, with plain PEFT and transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.data import training_set
from backprop_tui.protocol.spec import ROWS_OF
from tests.support.worker_driver import quick_spec


def held_out(objective: str) -> list[Any]:
    """The bundled rows an objective is measured on, in order."""
    spec = quick_spec(objective=objective).in_force
    built = training_set.build(spec.data, paths.demo_model_dir(), seed=spec.optim.seed, purpose=ROWS_OF[objective])
    return list(built.eval)


def by_hand(objective: str, place: Path, options: dict[str, Any]) -> dict[str, float]:
    """Loss and rewards over the bundled held-out rows for the adapter at `place`, with an objective's settings."""
    rows = held_out(objective)
    if objective == "reward":
        return _reward(rows, place, options)
    if objective == "kto":
        return _kto(rows, place, options)
    base, tuned = _base(), _tuned(place)
    losses, margins = [], []
    for pair in rows:
        (better, m), (worse, n) = _logp(tuned, pair.chosen), _logp(tuned, pair.rejected)
        if objective == "dpo":
            beta, wrong = options["beta"], options["label_smoothing"]
            ratio, other = better - _logp(base, pair.chosen)[0], worse - _logp(base, pair.rejected)[0]
            loss = -(1 - wrong) * _log_sigmoid(beta * (ratio - other)) - wrong * _log_sigmoid(beta * (other - ratio))
            loss -= options["nll_weight"] * better / m
            margins.append(beta * (ratio - other))
        elif objective == "orpo":
            odds = [p / (1 - p) for p in (math.exp(better / m), math.exp(worse / n))]
            loss = -better / m - options["odds_weight"] * _log_sigmoid(math.log(odds[0] / odds[1]))
            margins.append(options["odds_weight"] * (better / m - worse / n))
        else:
            margins.append(options["simpo_beta"] * (better / m - worse / n))
            loss = -_log_sigmoid(margins[-1] - options["simpo_gamma"]) - options["nll_weight"] * better / m
        losses.append(loss)
    right = sum(margin > 0 for margin in margins) / len(margins)
    return {"loss": _mean(losses), "rewards/margin": _mean(margins), "rewards/accuracy": right}


def _kto(rows: Sequence[Any], place: Path, options: dict[str, Any]) -> dict[str, float]:
    """Measured in batches of four, longest rows first; each batch has its own point of reference."""
    base, tuned = _base(), _tuned(place)
    beta = options["beta"]
    losses: list[float] = []
    rewards: dict[bool, list[float]] = {True: [], False: []}
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number].row.ids))
    for start in range(0, len(order), 4):
        batch = order[start : start + 4]
        drifts = []
        for number in batch:
            # The prompt of this row with the answer of the row before it.
            prompt, answer = rows[number].row, rows[number - 1].row
            begun, said = prompt.trained.index(True), answer.trained.index(True)
            ids = prompt.ids[:begun] + answer.ids[said:]
            mixed = _Row(ids, [False] * begun + answer.trained[said:])
            drifts.append(_logp(tuned, mixed)[0] - _logp(base, mixed)[0])
        zero = max(0.0, _mean(drifts))
        for number in batch:
            ratio = _logp(tuned, rows[number].row)[0] - _logp(base, rows[number].row)[0]
            wanted = rows[number].wanted
            weight = options["desirable_weight" if wanted else "undesirable_weight"]
            gain = ratio - zero if wanted else zero - ratio
            losses.append(weight * (1 - 1 / (1 + math.exp(-beta * gain))))
            rewards[wanted].append(beta * ratio)
    chosen, rejected = _mean(rewards[True]), _mean(rewards[False])
    return {
        "loss": _mean(losses),
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margin": chosen - rejected,
    }


def _reward(rows: Sequence[Any], place: Path, options: dict[str, Any]) -> dict[str, float]:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    base = AutoModelForSequenceClassification.from_pretrained(paths.demo_model_dir(), num_labels=1)
    model = PeftModel.from_pretrained(base, place).eval()
    scores = [(score(model, pair.chosen.ids), score(model, pair.rejected.ids)) for pair in rows]
    losses = [-_log_sigmoid(a - b) + options["center_rewards"] * (a + b) ** 2 for a, b in scores]
    right = sum(a > b for a, b in scores) / len(scores)
    return {"loss": _mean(losses), "rewards/margin": _mean([a - b for a, b in scores]), "rewards/accuracy": right}


class _Row:
    def __init__(self, ids: list[int], trained: list[bool]) -> None:
        self.ids, self.trained = ids, trained


def _logp(model: Any, row: Any) -> tuple[float, int]:
    """Log-probability of a row's learnt tokens, and how many they are."""
    import torch

    with torch.no_grad():
        logps = model(input_ids=torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
    places = [place for place, learnt in enumerate(row.trained) if learnt]
    return float(sum(logps[place - 1, row.ids[place]] for place in places)), len(places)


def score(model: Any, ids: list[int]) -> float:
    """A reward model's one output for a row."""
    import torch

    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids])).logits[0, 0])


def _base() -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(paths.demo_model_dir()).eval()


def _tuned(place: Path) -> Any:
    from peft import PeftModel

    assert json.loads((place / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
    return PeftModel.from_pretrained(_base(), place).eval()


def _log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value)) if value > -30 else value


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
