"""What the disk says about a run that is being prepared: its rows, the model's size, and whether a launch would be refused.

Everything is looked up in threads and remembered; `forget` makes it look again, without losing what is shown meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.launch.estimate import Estimate, Shapes, estimate
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from textual.screen import Screen

    from backprop_tui.app.scans import Scans
    from backprop_tui.protocol.spec import DataPart, RunSpec

#: Seconds without a change before the checks run.
_SETTLE_S = 0.4


class Prospect:
    """Facts about a spec.

    Args:
        screen: where the threads report to. scans: datasets looked through already.
        changed: called when a fact has come in.

    Attributes:
        checked: whether `error` is the answer for the spec shown last. error: why a launch would be refused.
    """

    def __init__(self, screen: Screen[Any], scans: Scans, changed: Callable[[], object]) -> None:
        self.checked = False
        self.error: BackpropError | None = None
        self._screen = screen
        self._scans = scans
        self._changed = changed
        self._rows: dict[str, int | None] = {}
        self._shapes: dict[str, Shapes | None] = {}
        self._known: set[tuple[str, str]] = set()
        self._asking: dict[str, str] = {}
        self._checked_for: object = None
        self._timer = screen.set_timer(_SETTLE_S, lambda: None, pause=True)

    def forget(self) -> None:
        """Files may have changed: look again when next asked."""
        self._known.clear()
        self._checked_for = None

    def look(self, spec: RunSpec) -> None:
        """Find out what is not known yet about this spec."""
        base, part = spec.model.base, spec.data
        self._find("model", base, lambda _: _read_shapes(base), self._shapes)
        self._find("data", _rows_key(part), lambda cancelled: self._scans.usable_rows(part, cancelled), self._rows)
        self._timer.stop()
        if self._checked_for == _matters(spec):
            self.checked = True
        else:
            self.checked = False
            self._timer = self._screen.set_timer(_SETTLE_S, lambda: self._check(spec))

    def estimate(self, spec: RunSpec) -> Estimate:
        """Counts, as far as they are known."""
        return estimate(spec, self._rows.get(_rows_key(spec.data)), self._shapes.get(spec.model.base))

    def to_download(self, spec: RunSpec) -> bool:
        """Whether the model is a hub id that is not on this machine; False while that is unknown."""
        return ("model", spec.model.base) in self._known and self._shapes[spec.model.base] is None

    def _find(self, kind: str, key: str, work: Callable[[Cancelled], Any], into: dict[str, Any]) -> None:
        if (kind, key) in self._known or self._asking.get(kind) == key:
            return
        self._asking[kind] = key

        def done(found: Any) -> None:
            if self._asking.get(kind) == key:
                del self._asking[kind]
            self._known.add((kind, key))
            into[key] = found
            self._changed()

        # What is not here, or not usable, is the checks' business; the estimate just stays unknown.
        in_thread(self._screen, work, done, lambda _: done(None), group=f"prospect-{kind}")

    def _check(self, spec: RunSpec) -> None:
        def work(cancelled: Cancelled) -> None:
            from backprop_tui.launch.preflight import check

            def go_on(rows: int, total: int | None) -> None:
                if cancelled():
                    raise InterruptedError

            check(spec, on_progress=go_on)

        def done(error: BackpropError | None) -> None:
            self._checked_for, self.error, self.checked = _matters(spec), error, True
            self._changed()

        in_thread(self._screen, work, done, done, group="prospect-check")


def _rows_key(part: DataPart) -> str:
    """What the number of usable rows depends on."""
    return repr((part.path, part.format, part.columns, part.damaged, part.filter, part.duplicates, part.near_threshold))


def _matters(spec: RunSpec) -> object:
    """What the checks depend on: reading the data again for another learning rate would find nothing new."""
    return (spec.model, spec.lora, spec.data, spec.optim.optimizer, spec.run.keep)


def _read_shapes(base: str) -> Shapes | None:
    from backprop_tui.data.models import resolve_model
    from backprop_tui.launch.estimate import read_shapes

    place = resolve_model(base)
    return None if place is None else read_shapes(place)
