"""The states of a run, their glyphs and which commands each accepts."""

from __future__ import annotations

from enum import StrEnum

#: Why a run is paused when a person asked for it; any other reason is worth telling.
ON_REQUEST = "Paused by request."


class RunState(StrEnum):
    """Where a run stands.

    `crashed` is never stored: it is inferred from a journal without an end and a free lock. Nor is `queued`: what waits is an
    entry of the queue and has no journal yet.
    """

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    STOPPED = "stopped"
    ABORTED = "aborted"
    FAILED = "failed"
    CRASHED = "crashed"

    @property
    def live(self) -> bool:
        """Whether an engine may hold the run's lock in this state."""
        return self in _LIVE

    @property
    def glyph(self) -> str:
        """One-cell sign shown before the word."""
        return _GLYPHS[self][0]

    @property
    def ascii_glyph(self) -> str:
        """The same for terminals without Unicode."""
        return _GLYPHS[self][1]


_LIVE = frozenset({RunState.STARTING, RunState.RUNNING, RunState.PAUSED, RunState.STOPPING})
_GLYPHS: dict[RunState, tuple[str, str]] = {
    RunState.QUEUED: ("◌", "."),
    RunState.STARTING: ("○", "o"),
    RunState.RUNNING: ("●", "*"),
    RunState.PAUSED: ("‖", "="),
    RunState.STOPPING: ("◐", "~"),
    RunState.COMPLETED: ("✓", "+"),
    RunState.STOPPED: ("■", "#"),
    RunState.ABORTED: ("✗", "x"),
    RunState.FAILED: ("✗", "x"),
    RunState.CRASHED: ("?", "?"),
}
