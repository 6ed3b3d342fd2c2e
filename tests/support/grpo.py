"""Settings of a GRPO run that is over in a moment and whose answers differ."""

from __future__ import annotations

from typing import Any

SHORT: dict[str, Any] = {
    "objective": "grpo",
    "generations": 4,
    "answer_length": 12,
    "temperature": 2.5,
    "batch_size": 2,
}
