"""What the host says when a worker is gone without a word. Pure: return code in, sentences out."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from backprop_tui.protocol.payloads import FaultPayload
from backprop_tui.protocol.text import last_segment, safe_text
from backprop_tui.protocol.view import RunView

_SECRET = re.compile(r"(hf_|sk-|AKIA|Bearer\s+|://[^\s/@:]+:)[A-Za-z0-9_\-.+/=]{8,}")
_TAIL_BYTES = 8192
_TAIL_LINES = 5


def describe_exit(code: int, view: RunView, short_id: str, worker_log: Path) -> FaultPayload:
    """The fault of a worker that ended with `code` (negative: by that signal) and without an `end` event."""
    where = f"after step {view.step:,}" if view.step else "before the first step"
    if code == -signal.SIGKILL:
        name = "WORKER_KILLED"
        cause = f"The training process was killed (SIGKILL) {where}; the system does so when memory runs out."
    elif code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE):
        name = "WORKER_SEGFAULT"
        cause = f"The training process crashed inside native code ({_name(code)}) {where}."
    elif code < 0:
        name = "WORKER_KILLED"
        cause = f"The training process was ended by {_name(code)} {where}."
    else:
        name = "WORKER_EXITED"
        cause = f"The training process ended with exit code {code} {where} without saying why."
    fault = FaultPayload(code=name, cause=cause, next=next_step(view, short_id), step=view.step)
    lines = log_tail(worker_log)
    if lines:
        fault["detail"] = {"worker_log": lines}
    return fault


def stop_timed_out(silence: float | None, view: RunView, short_id: str) -> FaultPayload:
    """The fault of a worker that had to be killed: after `silence` seconds, or at once when told twice (None)."""
    why = (
        "was told to stop a second time" if silence is None else f"was asked to stop, stayed silent for {silence:.0f} s"
    )
    return FaultPayload(
        code="STOP_TIMED_OUT",
        cause=f"The training process {why} and was ended.",
        next=next_step(view, short_id),
        step=view.step,
    )


def engine_lost(view: RunView, short_id: str) -> FaultPayload:
    """The fault of an earlier engine that died without an end, written by the next one."""
    where = f"after step {view.step:,}" if view.step else "before the first step"
    return FaultPayload(
        code="ENGINE_LOST",
        cause=f"The engine of attempt {view.attempt} was gone without a word {where}.",
        next=next_step(view, short_id),
        step=view.step,
    )


def next_step(view: RunView, short_id: str) -> str:
    """What the person can do, naming the step a resume goes on from."""
    if not view.checkpoints:
        return f"Nothing was saved yet. Press r, or type `backprop resume {short_id}`, to begin again."
    return f"Press r, or type `backprop resume {short_id}`, to resume from step {max(view.checkpoints):,}."


def log_tail(file: Path, lines: int = _TAIL_LINES, *, start: int = 0) -> list[str]:
    """The last lines of a raw log (from byte `start` on), made harmless and without anything that looks like a token."""
    try:
        with file.open("rb") as log:
            log.seek(max(start, log.seek(0, 2) - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    shown = [safe_text(last_segment(line), limit=300) for line in text.split("\n") if line.strip()]
    return [_SECRET.sub(r"\1…", line) for line in shown[-lines:]]


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
