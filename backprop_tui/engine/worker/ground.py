"""What an objective may look at and write to before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.loading import Loaded
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.engine.worker.rows import Sequences
from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Ground:
    """An attempt before its first step.

    Attributes:
        sink, inbox: to tell how far it is, and to hear of a stop.
        loaded: the model with the weights the run begins from; where it resumes, the checkpoint's are loaded later.
        batch_size: rows per forward pass.
        train, held_out: rows as they are drawn; None where nothing is held out.
        run_path: the run's directory.
        resume: the checkpoint that is gone on from, origin: that a fork began with; None where there is none.
    """

    sink: EventSink
    inbox: Inbox
    spec: RunSpec
    loaded: Loaded
    precision: Precision
    train: Sequences
    held_out: Sequences | None
    batch_size: int
    resume: Path | None = None
    origin: Path | None = None
    run_path: Path = Path()
