"""Training methods by the name they have in `RunSpec.model.method`.

A new method is one file here that defines a `Method`, one line in `_HOMES`, and its name in `protocol.spec.Method`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.spec import RunSpec


class Method(Protocol):
    """How weights are loaded and which of them move."""

    def weights_options(self, spec: RunSpec, precision: Precision) -> dict[str, Any]:
        """Further keyword arguments of `AutoModelForCausalLM.from_pretrained`."""

    def adapt(self, model: Any, spec: RunSpec, source: str, checkpoint: Path | None = None) -> Any:
        """The model to train, made of the loaded one.

        Args:
            model: as loaded.
            spec: which weights move, and how.
            source: the base as others should find it, path or hub id.
            checkpoint: what the run goes on from; its weights are loaded later, but a method may begin from them.
        """


_HOMES = {
    "lora": "backprop_tui.engine.worker.methods.lora",
    "qlora": "backprop_tui.engine.worker.methods.qlora",
    "full": "backprop_tui.engine.worker.methods.full",
}


def find_method(name: str) -> Method:
    """The method called `name`.

    Raises:
        UsageError: no such method.
    """
    home = _HOMES.get(name)
    if home is None:
        raise UsageError("METHOD_UNKNOWN", f"There is no method {name!r}.", f"Choose one of {', '.join(_HOMES)}.")
    method: Method = importlib.import_module(home).METHOD
    return method
