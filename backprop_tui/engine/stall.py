"""Whether a worker still gets anywhere. Pure: events and a clock in, verdicts out.

Progress is what the worker says of its work: steps, phases, evaluations, samples, checkpoints; lines of its log are none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any, Literal

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.limits import Limits
from backprop_tui.protocol.states import RunState

#: Phases that may be silent for long, and the first step, which compiles and warms up.
_SLOW = frozenset({"load", "tokenise", "probe", "eval", "sample", "save"})
_PATIENCE_WHEN_SLOW = 6.0
_NO_PROGRESS = frozenset({ev.LOG, ev.ALERT})

Verdict = Literal["", "stuck", "lost"]


class Stall:
    """Feed it with `heard` and ask `look` now and then.

    Args:
        limits: of the run. now: a clock in seconds that never goes back.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._last = now
        self._steps: deque[float] = deque(maxlen=64)
        self._phase = "load"
        self._stepped = False
        self._told_at: float | None = None
        self._gave_up = False

    def begin(self, now: float) -> None:
        """Another worker begins."""
        self._last, self._phase, self._stepped, self._told_at, self._gave_up = now, "load", False, None, False
        self._steps.clear()

    def heard(self, kind: str, data: Mapping[str, Any], now: float) -> None:
        """The worker said something."""
        if kind in _NO_PROGRESS or self._gave_up:
            return
        self._last, self._told_at = now, None
        if kind == ev.PHASE:
            ended = data.get("status") == "end"
            self._phase = "train" if ended else str(data.get("phase", ""))
        elif kind == ev.STEP:
            self._phase, self._stepped = "train", True
            seconds = number(data.get("step_s"))
            if seconds is not None and 0 < seconds < float("inf"):
                self._steps.append(seconds)

    def silent_for(self, now: float) -> float:
        """Seconds since the last progress."""
        return now - self._last

    def patience(self) -> float:
        """Seconds of silence that are in order at present; infinite where nothing is watched."""
        if self._limits.stall_s <= 0:
            return float("inf")
        usual = median(self._steps) if self._steps else 0.0
        longest = max(self._limits.stall_s, self._limits.stall_steps * usual)
        return longest * (_PATIENCE_WHEN_SLOW if self._phase in _SLOW or not self._stepped else 1.0)

    def look(self, now: float, state: RunState) -> Verdict:
        """`stuck` once when the silence becomes too long, `lost` once when the grace after that is over too."""
        if state not in (RunState.STARTING, RunState.RUNNING):
            # A paused run is silent by design, and one that stops has a ladder of its own.
            self._last, self._told_at = now, None
            return ""
        if self._gave_up or self.silent_for(now) <= self.patience():
            return ""
        if self._told_at is None:
            self._told_at = now
            return "stuck"
        if now - self._told_at > self._limits.stall_grace_s:
            self._gave_up = True
            return "lost"
        return ""
