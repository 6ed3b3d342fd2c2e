"""All the Run screen knows of a run: the fold of its events. No widget, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_tui.app.marks import Marks
from backprop_tui.app.narrate import LogLine, Narrator
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView

if TYPE_CHECKING:
    from backprop_tui.store.series import SeriesStore

#: Lines of the log and readings of the sensors kept in memory; the journal has them all.
_LOG_LINES = 20_000
_READINGS = 120
_RECENT = 40


def _series() -> SeriesStore:
    from backprop_tui.store.series import SeriesStore

    return SeriesStore()


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out question with the newest answers of the base and of the tuned model (None: not asked yet)."""

    prompt: str
    reference: str
    base: str | None
    base_match: bool
    tuned: str | None
    tuned_match: bool
    step: int


@dataclass
class RunModel:
    """Feed it with `apply`. `held` says whether an engine holds the run; it decides between a live state and a crash.

    Attributes:
        name: what the run is called, harmless. marks: moments worth a sign under the chart.
        log: newest last. dropped: lines that fell off its start. samples: by index.
        usage: recent utilisation per GPU index in percent; `None` is unknown.
        recent: recent values of step metrics, for sparklines.
        best: whether the newest evaluation was the best so far. odd: events passed over because they made no sense.
    """

    view: RunView = field(default_factory=RunView)
    name: str = ""
    series: SeriesStore = field(default_factory=_series)
    held: bool = True
    marks: Marks = field(default_factory=Marks)
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    dropped: int = 0
    samples: dict[int, Sample] = field(default_factory=dict)
    usage: dict[int, deque[float | None]] = field(default_factory=dict)
    cpu: deque[float | None] = field(default_factory=lambda: deque(maxlen=_READINGS))
    recent: dict[str, deque[float | None]] = field(default_factory=dict)
    best: bool = False
    events: int = 0
    odd: int = 0
    _narrator: Narrator = field(default_factory=Narrator)

    def apply(self, batch: Iterable[Event]) -> None:
        """Fold more events in, each once."""
        for event in batch:
            if event.seq <= self.view.seq:
                continue
            self.events += 1
            try:
                self._take(event)
            except (ValueError, TypeError, AttributeError, OverflowError):
                # An intact line with a payload of another shape, from another version: the rest of the run still shows.
                self.odd += 1

    def _take(self, event: Event) -> None:
        self.view.apply((event,))
        self.series.add((event,))
        self.marks.add(event, self.view.step)
        for line in self._narrator.lines(event):
            self.dropped += len(self.log) == self.log.maxlen
            self.log.append(line)
        if event.kind == ev.STEP:
            for name in ("loss", "grad_norm", "lr"):
                value = number(event.data.get(name))
                self.recent.setdefault(name, deque(maxlen=_RECENT)).append(value)
        elif event.kind == ev.RUN:
            self.name = safe_text(event.data.get("name") or "", limit=120)
        elif event.kind == ev.TELEMETRY:
            self._sense(event.data)
        elif event.kind == ev.SAMPLE:
            self._sample(event.data)
        elif event.kind == ev.EVAL:
            self.best = bool(event.data.get("best"))

    @property
    def state(self) -> RunState:
        """The honest state."""
        return self.view.state_when(self.held)

    def _sense(self, data: dict[str, Any]) -> None:
        for gpu in data.get("gpus") or ():
            if isinstance(gpu, dict) and isinstance(gpu.get("index"), int):
                self.usage.setdefault(gpu["index"], deque(maxlen=_READINGS)).append(number(gpu.get("utilisation")))
        host = data.get("host")
        self.cpu.append(number(host.get("cpu")) if isinstance(host, dict) else None)

    def _sample(self, data: dict[str, Any]) -> None:
        place = number(data.get("index"))
        index = int(place) if place is not None else 0
        old = self.samples.get(index)
        prompt, reference = str(data.get("prompt", "")), str(data.get("reference", ""))
        output, match = str(data.get("output", "")), bool(data.get("match"))
        step = int(number(data.get("step")) or 0)
        if data.get("source") == "base":
            tuned, tuned_match = (old.tuned, old.tuned_match) if old else (None, False)
            self.samples[index] = Sample(prompt, reference, output, match, tuned, tuned_match, step)
        else:
            base, base_match = (old.base, old.base_match) if old else (None, False)
            self.samples[index] = Sample(prompt, reference, base, base_match, output, match, step)
