"""Full fine-tuning: every weight moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.spec import RunSpec


class Full:
    """All weights are trained; the checkpoint is a whole model."""

    def weights_options(self, spec: RunSpec, precision: Precision) -> dict[str, Any]:
        """Nothing beyond the common options."""
        return {}

    def adapt(self, model: Any, spec: RunSpec, source: str, checkpoint: Path | None = None) -> Any:
        """The model as loaded."""
        return model


METHOD = Full()
