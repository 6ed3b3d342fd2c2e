"""What is told when it becomes too much: GPU memory, GPU power, the machine's memory, room on the disk. Pure.

Nothing is done about these; full GPU memory is how training works, and only a person knows what may be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backprop_tui.engine.heat import Deed
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.limits import Limits

#: How far, as a share of the limit, a value must move back before it is told again.
_BACK = 0.02


class Levels:
    """Tells each level once per episode, after as many readings in a row as for heat.

    Args:
        limits: of the run.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streaks: dict[str, int] = {}
        self._told: set[str] = set()

    def take(self, gpus: Sequence[Mapping[str, Any]], host: Mapping[str, Any]) -> list[Deed]:
        """What one reading shows.

        Args:
            gpus: merged readings of the run's GPUs.
            host: the machine's. Unknown values are passed over.
        """
        limits = self._limits
        deeds: list[Deed | None] = []
        for gpu in gpus:
            index = gpu.get("index")
            deeds.append(
                self._above(
                    f"vram {index}", _share(gpu, "memory_used", "memory_total"), limits.vram_percent,
                    "GPU_MEMORY_HIGH", f"GPU {index} has {{:.0f}} % of its memory in use.",
                    "An evaluation or a longer row may not fit; a smaller micro-batch makes room.",
                )
            )  # fmt: skip
            deeds.append(
                self._above(
                    f"power {index}", _share(gpu, "power", "power_limit"), limits.power_percent,
                    "GPU_POWER_HIGH", f"GPU {index} draws {{:.0f}} % of its power limit.", "Look at its power supply.",
                )
            )  # fmt: skip
        deeds.append(
            self._above(
                "ram", _share(host, "memory_used", "memory_total"), limits.ram_percent,
                "MEMORY_HIGH", "{:.0f} % of the machine's memory is in use.",
                "The system ends processes when it runs out: close what is not needed.",
            )
        )  # fmt: skip
        free = number(host.get("disk_free"))
        left = None if free is None else free / 1e9
        deeds.append(
            self._told_below(
                left, limits.disk_gb, "DISK_LOW", "{:.1f} GB are free on the run's disk.",
                "Make room: `backprop prune` removes checkpoints. A save that does not fit pauses the run.",
            )
        )  # fmt: skip
        return [deed for deed in deeds if deed is not None]

    def _above(self, key: str, value: float | None, limit: float, code: str, words: str, following: str) -> Deed | None:
        if limit <= 0 or value is None:
            self._streaks[key] = 0
            return None
        deed = Deed("alert", words.format(value), code, "warn", following)
        return self._count(key, value >= limit, value < limit * (1 - _BACK), deed)

    def _told_below(self, value: float | None, limit: float, code: str, words: str, following: str) -> Deed | None:
        if limit <= 0 or value is None:
            self._streaks["disk"] = 0
            return None
        deed = Deed("alert", words.format(value), code, "warn", following)
        return self._count("disk", value < limit, value > limit * (1 + _BACK), deed)

    def _count(self, key: str, over: bool, well: bool, deed: Deed) -> Deed | None:
        if well:
            self._told.discard(key)
        self._streaks[key] = self._streaks.get(key, 0) + 1 if over else 0
        if self._streaks[key] < int(self._limits.heat_readings) or key in self._told:
            return None
        self._told.add(key)
        return deed


def _share(part: Mapping[str, Any], used: str, whole: str) -> float | None:
    """Percent of `whole` that is `used`; None where either is unknown."""
    most, now = number(part.get(whole)), number(part.get(used))
    if most is None or now is None or not most > 0:
        return None
    return 100.0 * now / most
