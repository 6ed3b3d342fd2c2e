"""What a run doesn't need is not imported: libraries bring each other along wherever they are installed.

PEFT and transformers import bitsandbytes when it is there, and it brings half of torch's compiler: 0.6 s before the first step,
for a run that has neither quantised weights nor one of its optimisers.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from backprop_tui.data.models import resolve_model
from backprop_tui.launch.variants import OPTIMIZER_PACKAGES
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

_BNB = "bitsandbytes"


def leave_out(spec: RunSpec) -> None:
    """Make what the run doesn't need look absent, for this process and for good: only where nothing else will run in it."""
    if _BNB not in sys.modules and not _needs_bitsandbytes(spec):
        # Documented way to say so: `import` raises ModuleNotFoundError, `find_spec` finds nothing.
        sys.modules[_BNB] = None  # type: ignore[assignment]


def _needs_bitsandbytes(spec: RunSpec) -> bool:
    if spec.model.method == "qlora" or OPTIMIZER_PACKAGES.get(spec.optim.optimizer) == _BNB:
        return True
    try:
        place = resolve_model(spec.model.base, spec.model.revision, need_template=False)
        # Weights that were saved quantised say so; of a model that is still to be fetched nobody knows.
        return place is None or "quantization_config" in json.loads((place / "config.json").read_text(encoding="utf-8"))
    except (BackpropError, OSError, ValueError):
        # What is wrong with it is told by what loads it.
        return True
