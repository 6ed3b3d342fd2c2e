"""Fine-tune language models from the terminal.

>>> from backprop_tui import Trainer
>>> trainer = Trainer("path-or-id")
>>> run = trainer.train("data.jsonl", steps=100)
>>> trainer.save("out")

Importing this package costs no torch, no textual and no pydantic: names load when first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["BackpropError", "Run", "RunSpec", "Trainer", "__version__"]

_LAZY = {
    "Trainer": ("backprop_tui.library", "Trainer"),
    "Run": ("backprop_tui.library", "Run"),
    "RunSpec": ("backprop_tui.protocol.spec", "RunSpec"),
    "BackpropError": ("backprop_tui.protocol.errors", "BackpropError"),
}

if TYPE_CHECKING:
    from backprop_tui.library import Run, Trainer
    from backprop_tui.protocol.errors import BackpropError
    from backprop_tui.protocol.spec import RunSpec


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
