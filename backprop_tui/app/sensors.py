"""What the sensors said lately, for the little histories beside the gauges. No widget, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.codec import number

#: Readings kept; at two seconds each, four minutes.
_READINGS = 120
_GPU = ("temperature", "utilisation", "power")
_HOST = ("cpu", "run_cpu")

History = deque[float | None]


class Sensors:
    """Recent values of each GPU and of the host; None where a sensor was silent."""

    def __init__(self) -> None:
        self._gpus: dict[tuple[int, str], History] = {}
        self._host: dict[str, History] = {}

    def take(self, telemetry: Mapping[str, Any]) -> None:
        """One more reading, as `RunView.telemetry` has it put together."""
        for gpu in telemetry.get("gpus") or ():
            for key in _GPU:
                history = self._gpus.setdefault((gpu["index"], key), deque(maxlen=_READINGS))
                history.append(number(gpu.get(key)))
        host = telemetry.get("host") or {}
        for key in _HOST:
            self._host.setdefault(key, deque(maxlen=_READINGS)).append(number(host.get(key)))

    def gpu(self, index: int, key: str) -> History:
        """Values of one GPU, oldest first."""
        return self._gpus.get((index, key), deque())

    def host(self, key: str) -> History:
        """Values of the host, oldest first."""
        return self._host.get(key, deque())
