"""What ← and → do to a setting: the next sensible value, not the next number."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backprop_tui.protocol.fields import Setting

_POWERS = tuple(2**exponent for exponent in range(21))
_COUNTS = (0, *(digit * 10**decade for decade in range(7) for digit in (1, 2, 5)))
_SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
_EVERY = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, *(float(count) for count in _COUNTS[1:16]))
_PARTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SMALL = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SECONDS = (0.0, *(float(count) for count in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)))
_RATES = tuple(float(f"{m}e{e}") for e in range(-7, 0) for m in ("1", "1.5", "2", "3", "5", "7"))
_RUNGS: dict[str, tuple[float, ...]] = {
    "rank": _POWERS,
    "alpha": _POWERS,
    "max_length": _POWERS,
    "batch_size": _POWERS,
    "accumulation": _POWERS,
    "sample_tokens": _POWERS,
    "steps": _COUNTS,
    "max_rows": _COUNTS,
    "learning_rate": _RATES,
    "lr_last": (0.0, *_RATES),
    "epochs": (0.1, 0.25, 0.5, *(float(count) for count in range(1, 11)), 15.0, 20.0, 30.0, 50.0, 100.0),
    "warmup": _EVERY,
    "eval_every": _EVERY,
    "save_every": _EVERY,
    "eval_split": _SHARES,
    "dropout": _SHARES,
    "weight_decay": (0.0, 0.001, 0.005, 0.01, 0.05, 0.1),
    "max_grad_norm": (0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
    "min_lr_ratio": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
    "lr_power": (0.5, 1.0, 2.0, 3.0, 5.0),
    "decay_share": (0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
    "beta1": (0.0, 0.5, 0.8, 0.9, 0.95, 0.98),
    "beta2": (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999),
    "epsilon": tuple(float(f"1e{exponent}") for exponent in range(-12, -2)),
    "neftune": (0.0, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0),
    "lora_plus": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
    "beta": (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2, 0.3, 0.4),
    "nll_weight": _WEIGHTS,
    "desirable_weight": _WEIGHTS,
    "undesirable_weight": _WEIGHTS,
    "odds_weight": _SMALL[1:],
    "simpo_beta": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0),
    "simpo_gamma": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0),
    "center_rewards": _SMALL,
    "generations": (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256),
    "answer_length": _POWERS,
    "temperature": (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0),
    "kl_weight": _SMALL,
    "clip_epsilon": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    "reward_timeout": _SECONDS[1:],
    "near_threshold": (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99),
    "preempt_grace_s": _SECONDS,
    "peer_wait_s": _SECONDS,
    "cool_down": _SECONDS,
    "run_rows": _COUNTS,
    "scale_floor": _PARTS,
    "scale_constant": _PARTS,
    "replay": _SHARES,
    "gate_drift": (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 2.0),
    "gate_eval": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
}


def adjust(setting: Setting, value: Any, direction: int) -> Any:
    """The next value up (`direction` 1) or down (-1), inside the setting's bounds; text stays as it is."""
    if setting.kind == "bool":
        return not value
    if setting.kind == "choice":
        at = setting.choices.index(value) if value in setting.choices else 0
        return setting.choices[(at + direction) % len(setting.choices)]
    if setting.kind == "str" or value is None:
        return value
    rungs = _RUNGS.get(setting.key)
    if rungs is None:
        following = value + direction
    elif direction > 0:
        at = bisect_right(rungs, value)
        following = rungs[at] if at < len(rungs) else value
    else:
        at = bisect_left(rungs, value)
        following = rungs[at - 1] if at > 0 else value
    if setting.minimum is not None and following < setting.minimum:
        return value
    if setting.maximum is not None and following > setting.maximum:
        return value
    return int(following) if setting.kind == "int" else float(following)
