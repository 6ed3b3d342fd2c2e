"""Whether another attempt can help a run whose memory ran out, and with which micro-batch. Pure but for one counter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backprop_tui.engine import host_faults
from backprop_tui.engine.worker_command import lost_retries
from backprop_tui.protocol.changes import BatchSizes
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.view import RunView

#: Attempts after memory ran out, where run.json says nothing.
_RETRIES = 3
_VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do next.

    Attributes:
        fault: what to say instead of trying again; None when another attempt is to be made.
        batch: its sizes; None leaves them. told: the alert's cause, up to where it goes on from; empty says nothing.
        code: the alert's.
    """

    fault: dict[str, Any] | None = None
    batch: BatchSizes | None = None
    told: str = ""
    step: int | None = None
    code: Literal["MEMORY_RETRY", "PROCESS_LOST"] = "MEMORY_RETRY"

    def alert(self, resume_step: int | None) -> dict[str, Any]:
        """The event that tells people of the change."""
        start = "the start" if resume_step is None else f"step {resume_step:,}"
        following = {
            "MEMORY_RETRY": "set batch_size lower in the next run",
            "PROCESS_LOST": "worker.log in the run's directory has the details",
        }
        return {
            "code": self.code,
            "severity": "warn",
            "cause": f"{self.told}; a new worker goes on from {start}.",
            "next": f"Nothing needs to be done; {following[self.code]}.",
            "step": self.step,
        }


def decide(why: Mapping[str, Any], view: RunView, spec: Mapping[str, Any], retries: int, losses: int = 0) -> Decision:
    """What to do after a worker's `retry`.

    Args:
        why: its payload.
        view: the run so far.
        spec: run.json as it stands.
        retries: attempts already made because memory ran out.
        losses: attempts already made because one of the run's processes was lost.
    """
    kind = str(why.get("why", ""))
    if kind == "rewind":
        return Decision()
    fault = dict(why.get("fault") or {})
    if kind == "lost":
        return _after_loss(fault, view, spec, losses)
    fault.setdefault("code", "OUT_OF_MEMORY")
    fault.setdefault("cause", "Memory ran out.")
    fault.setdefault("next", host_faults.next_step(view, ""))
    now = BatchSizes.from_dict(view.batch) or BatchSizes.of_spec(spec)
    most = most_retries(spec)
    if now is None or kind not in ("memory", "eval_memory"):
        return Decision(fault=fault)
    if retries >= most:
        if most:
            tried = "once" if retries == 1 else f"{retries} times"
            fault["cause"] = f"{fault['cause']} The micro-batch was halved {tried} already."
        return Decision(fault=fault)
    measuring = kind == "eval_memory"
    batch = now.eval_halved() if measuring else now.halved()
    if batch is None:
        return Decision(fault=fault)
    step = number(why.get("step"))
    at = int(step) if step is not None else view.step
    if measuring:
        told = (
            f"Memory ran out while measuring at step {at:,}: evaluations take {_rows(batch.eval_batch_size)} at a time "
            f"instead of {now.eval_batch_size}"
        )
    else:
        told = (
            f"Memory ran out in step {at + 1:,}: {_rows(batch.batch_size)} x {batch.accumulation} instead of "
            f"{now.batch_size} x {now.accumulation}, the same effective batch of {now.batch_size * now.accumulation}"
        )
    return Decision(batch=batch, told=told, step=at or None)


def _after_loss(fault: dict[str, Any], view: RunView, spec: Mapping[str, Any], losses: int) -> Decision:
    """A process is gone: machines fail and come back, so the run goes on from its last checkpoint, a few times."""
    most = lost_retries(spec)
    if losses < most:
        told = str(fault.get("cause") or "One of the run's processes was lost").removesuffix(".")
        return Decision(told=told, code="PROCESS_LOST", step=view.step or None)
    fault.setdefault("next", host_faults.next_step(view, ""))
    if most:
        fault["cause"] = f"{fault.get('cause', '')} It was started anew {losses} times already.".lstrip()
    return Decision(fault={**fault, "step": view.step})


def most_retries(spec: Mapping[str, Any]) -> int:
    """How many attempts a run.json allows after memory ran out."""
    recovery = spec.get("recovery")
    most = number(recovery.get("oom_retries")) if isinstance(recovery, Mapping) else None
    return _RETRIES if most is None or not 0 <= most < 1 << 31 else int(most)


def memory_kills(vmstat: Path = _VMSTAT) -> int | None:
    """Processes the kernel has killed since boot because memory ran out; None where it does not say (not Linux)."""
    try:
        for line in vmstat.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except (OSError, ValueError):
        pass
    return None


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
