"""Places that jump mode can go to; widgets with entries offer them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spot:
    """A place that can be jumped to: where its letter stands in the widget's content, and what going there does."""

    x: int
    y: int
    go: Callable[[], object]
