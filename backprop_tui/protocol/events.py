"""Every kind of event a run can journal, and the stamp that makes a payload an event.

The worker sends `{"k": kind, **payload}`; the host stamps it (`Event`), appends it to the journal and hands it to the
subscribers. What each kind carries is in `payloads`, what the sensors say in `readings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RUN = "run"
ATTEMPT = "attempt"
RESUME = "resume"
STATE = "state"
PHASE = "phase"
PLAN = "plan"
PROBE = "probe"
STEP = "step"
EVAL = "eval"
SAMPLE = "sample"
STAGE = "stage"
MERGE = "merge"
MATRIX = "matrix"
CHECKPOINT = "checkpoint"
CHECKPOINT_REMOVED = "checkpoint_removed"
TELEMETRY = "telemetry"
LOG = "log"
FAULT = "fault"
ALERT = "alert"
COMMAND = "command"
COMMAND_DONE = "command_done"
RETRY = "retry"
REPAIR = "repair"
END = "end"

#: Kinds that reach the disk (fdatasync) before anybody is told; metrics and logs follow within a second.
DURABLE = frozenset(
    {
        RUN,
        ATTEMPT,
        RESUME,
        STATE,
        STAGE,
        MERGE,
        MATRIX,
        CHECKPOINT,
        CHECKPOINT_REMOVED,
        FAULT,
        ALERT,
        COMMAND,
        COMMAND_DONE,
        RETRY,
        REPAIR,
        END,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One stamped event.

    Attributes:
        seq: 1, 2, 3 ... within the run's journal.
        wall: seconds since the Unix epoch. mono: the host's monotonic clock in seconds (order and durations in one boot).
        attempt: which worker process spoke (0 before the first).
        kind: one of the constants above; readers ignore kinds they do not know.
        data: the payload.
    """

    seq: int
    wall: float
    mono: float
    attempt: int
    kind: str
    data: dict[str, Any]

    def to_record(self) -> dict[str, Any]:
        """The journal's and the pipe's JSON object."""
        return {
            "seq": self.seq,
            "wall": round(self.wall, 3),
            "mono": round(self.mono, 4),
            "attempt": self.attempt,
            "kind": self.kind,
            "data": self.data,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Event | None:
        """The event of a JSON object, or None when a field is missing or of the wrong type."""
        try:
            data = record["data"]
            if not isinstance(data, dict):
                return None
            return cls(
                int(record["seq"]),
                float(record["wall"]),
                float(record["mono"]),
                int(record["attempt"]),
                str(record["kind"]),
                data,
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
