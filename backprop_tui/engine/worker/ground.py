"""What an objective may look at and write to before the first step."""

from __future__ import annotations

from dataclasses import dataclass

from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.loading import Loaded
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.engine.worker.rows import Sequences
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import RunDir


@dataclass(frozen=True, slots=True)
class Ground:
    """An attempt before its first step.

    Attributes:
        run: the run's directory. sink, inbox: to tell how far it is, and to hear of a stop.
        loaded: the model; the weights the run begins from, unless it is `resumed`: then those of the base, whose
            checkpoint is loaded later.
        train, held_out: rows as they are drawn; None where nothing is held out.
    """

    run: RunDir
    sink: EventSink
    inbox: Inbox
    spec: RunSpec
    loaded: Loaded
    precision: Precision
    train: Sequences
    held_out: Sequences | None
    resumed: bool
