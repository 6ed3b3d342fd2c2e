"""What a run has complained of: faults, heat, full disks, losses that are no number, refused commands, damage; oldest first.

A fold of events like `Marks`: pure, foreign text made harmless here. The same complaint again counts up instead of filling the
list. Steps come as curves, not as events, so losses that are no number are looked up in the curve (`scan`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backprop_tui.app import wording
from backprop_tui.app.narrate import tell
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.store.series import SeriesStore

#: Alerts kept; older ones are in the log.
KEPT = 1000
#: Degrees below its limit at which a hot GPU counts as cooled down.
_COOL = 5.0
#: Free disk space that is too little, as a share and in bytes; more than twice that is enough again.
_FULL_SHARE, _FULL_BYTES = 0.02, 2e9
_COMPLAINTS = frozenset({ev.LOG, ev.RESUME, ev.ALERT, ev.COMMAND_DONE, ev.REPAIR})


@dataclass(frozen=True, slots=True)
class Alert:
    """One complaint.

    Attributes:
        wall: when it came last, seconds since the Unix epoch. severity: `warn` or `error`. code: stable, may be empty.
        text: one harmless sentence. next: what to do, may be empty. step: where the run stood, None before its first.
        seq: of its newest event, 0 when no event of the run says so. count: how often it came.
    """

    wall: float
    severity: str
    code: str
    text: str
    next: str = ""
    step: int | None = None
    seq: int = 0
    count: int = 1

    @property
    def same(self) -> tuple[str, str, str]:
        """What makes two of them the same complaint."""
        return self.severity, self.code, self.text if not self.code else ""


class Alerts:
    """Feed it with `take`.

    Attributes:
        total: complaints, repeated ones included. errors: those of them that are errors.
        seen: what had come when somebody last looked at the list.
    """

    def __init__(self) -> None:
        self.total = self.errors = self.seen = 0
        self._kept: deque[Alert] = deque(maxlen=KEPT)
        self._hot: set[int] = set()
        self._full = False
        self._scanned = self._damaged = 0
        self._cuts = -1
        self._told: set[int] = set()

    def __len__(self) -> int:
        """Entries of the list."""
        return len(self._kept)

    @property
    def newest_first(self) -> list[Alert]:
        """The list as it is shown."""
        return list(reversed(self._kept))

    @property
    def unseen(self) -> Alert | None:
        """The newest one since somebody looked, None when there is none."""
        return self._kept[-1] if self._kept and self.total > self.seen else None

    def look(self) -> None:
        """Somebody has seen them all."""
        self.seen = self.total

    def take(self, event: Event, step: int) -> None:
        """Take in one event; `step` is where the run stood."""
        data = event.data
        at = step or None
        own = number(data.get("step"))
        if own is not None and 0 <= own < 1 << 53:
            at = int(own)
        if event.kind in (ev.FAULT, ev.ALERT):
            severe = event.kind == ev.FAULT or data.get("severity") == "error"
            code, cause = safe_text(data.get("code") or "", limit=60), safe_text(data.get("cause") or "", limit=400)
            following = safe_text(data.get("next") or "", limit=300)
            if code == "LOSS_NOT_FINITE" and at is not None:
                self._engine_told(at)
            self._add(Alert(event.wall, "error" if severe else "warn", code, cause, following, at, event.seq))
        elif event.kind in _COMPLAINTS:
            told = tell(event)
            if told is not None and told[0] in ("warn", "error"):
                self._add(Alert(event.wall, told[0], "", told[1], "", at, event.seq))
        elif event.kind == ev.PLAN and (dropped := number(data.get("dropped_rows"))):
            rows = wording.rows(int(dropped)) if dropped < 1 << 53 else "rows"
            self._add(
                Alert(event.wall, "warn", "", f"{rows} left out before training", "1 shows why.", None, event.seq)
            )
        elif event.kind == ev.TELEMETRY:
            self._heat(event, at)
            self._disk(event, at)
        elif event.kind == ev.END and data.get("outcome") == "failed" and not (self._kept and self._kept[-1].code):
            reason = safe_text(data.get("reason") or "the run failed", limit=400)
            self._add(Alert(event.wall, "error", "", reason, "", at, event.seq))

    def scan(self, series: SeriesStore) -> None:
        """Look at what the curve of the loss gained since the last time for values that are no number."""
        if "loss" not in series.names():
            return
        import numpy as np

        steps, values = series.get("loss")
        if series.cuts != self._cuts:
            # Steps were done again from the last seam on: what they gave is to be told as well.
            seam = series.seams[-1] if series.seams else 0
            self._cuts, self._scanned = series.cuts, min(self._scanned, int(steps.searchsorted(seam, "right")))
        self._scanned = min(self._scanned, len(steps))
        odd = np.flatnonzero(~np.isfinite(values[self._scanned :])) + self._scanned
        odd = odd[~np.isin(steps[odd], list(self._told))]
        self._scanned = len(steps)
        if len(odd):
            first, last = int(steps[odd[0]]), int(steps[odd[-1]])
            clocks, walls = series.get("wall")
            at = int(clocks.searchsorted(last))
            wall = float(walls[at]) if at < len(walls) else math.nan
            text = f"loss was {wording.loss(float(values[odd[-1]]))}"
            self._add(Alert(wall, "error", "LOSS_ODD", text, "Lower the learning rate.", first, 0, len(odd)))

    def _engine_told(self, step: int) -> None:
        """The engine has said itself that this step gave no number: the curve need not be quoted as well."""
        self._told.add(step)
        last = self._kept[-1] if self._kept else None
        if last is not None and (last.code, last.step, last.count) == ("LOSS_ODD", step, 1):
            self._kept.pop()
            self.total -= 1
            self.errors -= 1

    def damage(self, lines: int) -> None:
        """The record has this many damaged lines in all; when they came to be is not known."""
        more, self._damaged = lines - self._damaged, max(lines, self._damaged)
        if more > 0:
            text = (
                "a damaged line of the record was passed over"
                if lines == 1
                else "damaged lines of the record were passed over"
            )
            self._add(Alert(math.nan, "warn", "RECORD_DAMAGED", text, "Check the disk.", None, 0, more))

    def refused(self, cause: str, following: str, wall: float, step: int) -> None:
        """The engine refused a command of ours; the record does not hold that."""
        self._add(
            Alert(
                wall,
                "warn",
                "",
                safe_text(f"refused: {cause}", limit=400),
                safe_text(following, limit=300),
                step or None,
            )
        )

    def _heat(self, event: Event, step: int | None) -> None:
        for gpu in event.data.get("gpus") or ():
            if not isinstance(gpu, dict) or not isinstance(index := gpu.get("index"), int):
                continue
            degrees, limit = number(gpu.get("temperature")), number(gpu.get("slowdown"))
            if degrees is None or limit is None:
                continue
            if degrees >= limit and index not in self._hot:
                self._hot.add(index)
                text = f"GPU {index} is at {degrees:.0f} °C; it slows down from {limit:.0f} °C on"
                self._add(Alert(event.wall, "warn", f"GPU_{index}_HOT", text, "Check its cooling.", step, event.seq))
            elif degrees < limit - _COOL:
                self._hot.discard(index)

    def _disk(self, event: Event, step: int | None) -> None:
        host: Any = event.data.get("host")
        if not isinstance(host, dict):
            return
        free, size = number(host.get("disk_free")), number(host.get("disk_total"))
        if free is None:
            return
        least = min(_FULL_BYTES, size * _FULL_SHARE) if size else _FULL_BYTES
        if free < least and not self._full:
            self._full = True
            text = f"{wording.size(free)} are left on the disk of the run"
            self._add(Alert(event.wall, "warn", "DISK_LOW", text, "Free some space.", step, event.seq))
        elif free > 2 * least:
            self._full = False

    def _add(self, alert: Alert) -> None:
        self.total += alert.count
        self.errors += alert.count if alert.severity == "error" else 0
        last = self._kept[-1] if self._kept else None
        if last is not None and last.same == alert.same:
            wall = alert.wall if alert.wall == alert.wall else last.wall
            self._kept[-1] = replace(alert, wall=wall, count=last.count + alert.count, step=last.step)
        else:
            self._kept.append(alert)
