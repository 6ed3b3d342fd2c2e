"""All the Run screen knows of a run: the fold of its events. No widget, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from backprop_tui.app.alerts import Alerts
from backprop_tui.app.marks import Marks
from backprop_tui.app.sensors import Sensors
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.stretch import Stretch

if TYPE_CHECKING:
    from backprop_tui.store.series import SeriesStore

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
        alerts: what it complained of. samples: newest answers by index.
        sensors: what the sensors said lately.
        recent: recent values of step metrics, for sparklines.
        best: whether the newest evaluation was the best so far. odd: events passed over because they made no sense.
        opening: whether not even the journal's last events are known yet: there is nothing to show.
        turn: whether the curves or the figures of a long run have just become whole. renamed: what the person calls it.
    """

    view: RunView = field(default_factory=RunView)
    name: str = ""
    series: SeriesStore = field(default_factory=_series)
    held: bool = True
    marks: Marks = field(default_factory=Marks)
    alerts: Alerts = field(default_factory=Alerts)
    samples: dict[int, Sample] = field(default_factory=dict)
    sensors: Sensors = field(default_factory=Sensors)
    recent: dict[str, deque[float | None]] = field(default_factory=dict)
    best: bool = False
    events: int = 0
    odd: int = 0
    opening: bool = False
    turn: bool = False
    renamed: str = ""
    _outlook: RunView | None = None

    def apply(self, batch: Stretch | Iterable[Event]) -> None:
        """Fold more events in, each once. Of a stretch the steps come as columns and only those that matter as events too."""
        stretch = batch if isinstance(batch, Stretch) else None
        self.turn = False
        curves = self.series.add_one if stretch is None else self.series.mark
        for event in stretch.events if stretch is not None else cast("Iterable[Event]", batch):
            if event.seq <= self.view.seq:
                continue
            self.events += 1
            try:
                curves(event)
                self._take(event)
            except (ValueError, TypeError, AttributeError, OverflowError):
                # An intact line with a payload of another shape, from another version: the rest of the run still shows.
                self.odd += 1
        if stretch is not None:
            self.series.extend(stretch)
            self.view.pace.took_many(stretch.passed)
            self.turn = stretch.turn

    def look_ahead(self, newest: Iterable[Event]) -> None:
        """The journal's last events, while those before them are still to be read: they say how the run stands."""
        self.opening = False
        outlook = self._outlook = RunView().apply(newest)
        if outlook.state is RunState.STARTING and outlook.step:
            outlook.state = RunState.RUNNING

    @property
    def reading(self) -> bool:
        """Whether the past is still being read; the figures are not there yet then."""
        return self._outlook is not None and self._outlook.seq > self.view.seq

    def _take(self, event: Event) -> None:
        self.view.apply((event,))
        self.marks.add(event, self.view.step)
        self.alerts.take(event, self.view.step)
        if event.kind == ev.STEP:
            for name in ("loss", "grad_norm", "lr"):
                value = number(event.data.get(name))
                self.recent.setdefault(name, deque(maxlen=_RECENT)).append(value)
        elif event.kind == ev.RUN:
            self.name = safe_text(self.renamed or event.data.get("name") or "", limit=120)
        elif event.kind == ev.TELEMETRY:
            if self.view.telemetry.get("wall") != event.wall:
                raise ValueError("no reading")
            self.sensors.take(self.view.telemetry)
        elif event.kind == ev.SAMPLE:
            self._sample(event.data)
        elif event.kind == ev.EVAL:
            self.best = bool(event.data.get("best"))

    @property
    def state(self) -> RunState:
        """The honest state."""
        view = self._outlook if self._outlook is not None and self.reading else self.view
        return view.state_when(self.held)

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
