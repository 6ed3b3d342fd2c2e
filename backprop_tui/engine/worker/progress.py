"""What our own code remembers of a run besides the trainer's state; saved in every checkpoint as `state.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from backprop_tui.protocol.errors import DataError

STATE_FILE = "state.json"


@dataclass(slots=True)
class Progress:
    """The run so far.

    Attributes:
        step: optimiser steps done. tokens: real tokens seen in them, over all attempts.
        best_loss, best_step: lowest held-out loss and where; None before the first measurement.
        evals_without_better: measurements since then.
        checkpoint_step: the newest checkpoint, None if there is none.
        rate_change: the last change of the learning rate (its command's id), "" before the first.
    """

    step: int = 0
    tokens: int = 0
    best_loss: float | None = None
    best_step: int | None = None
    evals_without_better: int = 0
    checkpoint_step: int | None = None
    rate_change: str = ""

    def measured(self, step: int, loss: float) -> bool:
        """Note a held-out loss; returns whether it is the best so far (NaN never is)."""
        if loss == loss and (self.best_loss is None or loss < self.best_loss):
            self.best_loss, self.best_step, self.evals_without_better = loss, step, 0
            return True
        self.evals_without_better += 1
        return False


def write_state(directory: Path, progress: Progress, environment: dict[str, Any]) -> None:
    """Put `state.json` into a checkpoint being written. `environment` is as `environment.describe` gives it."""
    words = {"progress": asdict(progress), "environment": environment}
    (directory / STATE_FILE).write_text(json.dumps(words, indent=1), encoding="ascii")


def read_state(directory: Path) -> tuple[Progress, dict[str, Any]]:
    """Progress and environment of a checkpoint; of the environment only what was noted when it was written.

    Raises:
        DataError: the file is missing or not ours.
    """
    try:
        words: dict[str, Any] = json.loads((directory / STATE_FILE).read_bytes())
        known = {field.name for field in fields(Progress)}
        progress = Progress(**{key: value for key, value in words["progress"].items() if key in known})
        environment = words.get("environment")
        # Checkpoints of version 1.0 note the versions alone.
        return progress, dict(environment) if environment is not None else {"versions": dict(words["versions"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            "CHECKPOINT_INVALID",
            f"{directory.name} has no readable {STATE_FILE}, so training can't go on from it.",
            "Resume from an earlier checkpoint, or start a new run.",
        ) from None
