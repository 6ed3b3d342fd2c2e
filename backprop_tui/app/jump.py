"""Jump mode: a letter appears on every panel and every entry in view; typing it puts the focus there.

The letters are drawn by the widgets themselves, over their own cells, so that entering and leaving the mode sends those
cells and nothing else. A widget takes part by a method `spots()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from textual.geometry import Region
from textual.widget import Widget

from backprop_tui.app.spots import Spot
from backprop_tui.app.widgets.painted import Inked
from backprop_tui.app.widgets.panel import Panel

if TYPE_CHECKING:
    from textual.screen import Screen

#: Letters in the order they are given out: those under the resting fingers first.
LETTERS = "asdfghjklqwertyuiopzxcvbnm"


@runtime_checkable
class Jumpable(Protocol):
    """A widget with entries."""

    def spots(self) -> Sequence[Spot]:
        """The entries in view, from the top."""


@dataclass(frozen=True, slots=True)
class _Target:
    label: str
    widget: Inked
    spot: Spot


def labels(count: int) -> list[str]:
    """`count` labels of one or two letters, none the beginning of another; beyond 676 there are no more."""
    whole = len(LETTERS)
    if count <= whole:
        return list(LETTERS[:count])
    # As few letters as possible open a second one, and the awkward ones do.
    openers = min(whole, -(-(count - whole) // (whole - 1)))
    single, opening = LETTERS[: whole - openers], LETTERS[whole - openers :]
    return ([*single] + [first + second for first in opening for second in LETTERS])[:count]


class Jump:
    """One visit of jump mode on a screen. It ends with a jump or with any key that is no letter of a label."""

    def __init__(self, screen: Screen[Any]) -> None:
        self._typed = ""
        self._marked: set[Inked] = set()
        places: list[tuple[Inked, Spot]] = []
        entries: list[tuple[Inked, Spot]] = []
        for widget in screen.query(Inked):
            if not widget.is_on_screen or not widget.size:
                continue
            if isinstance(widget, Panel):
                if (target := first_focusable(widget)) is not None:
                    places.append((widget, Spot(1, 0, partial(screen.set_focus, target))))
            elif isinstance(widget, Jumpable) and widget.can_focus:
                entries += [(widget, spot) for spot in widget.spots()]
        found = [*places, *entries][: len(LETTERS) ** 2]
        self._targets = [
            _Target(label, widget, spot) for label, (widget, spot) in zip(labels(len(found)), found, strict=True)
        ]
        self._show()

    @property
    def targets(self) -> Sequence[tuple[str, Inked]]:
        """Labels and the widgets they stand on."""
        return [(target.label, target.widget) for target in self._targets]

    def take(self, key: str) -> bool:
        """A key was typed; False when the mode is over."""
        typed = self._typed + key
        fits = [target for target in self._targets if target.label.startswith(typed)]
        if not fits or len(key) != 1:
            self.end()
            return False
        if fits[0].label != typed:
            self._typed = typed
            self._targets = fits
            self._show()
            return True
        chosen = fits[0]
        self.end()
        if isinstance(chosen.widget, Panel) or chosen.widget.has_focus:
            chosen.spot.go()
        else:
            chosen.widget.screen.set_focus(chosen.widget)
            chosen.spot.go()
        return False

    def end(self) -> None:
        """Take the letters away."""
        self._targets = []
        self._show()

    def _show(self) -> None:
        by_widget: dict[Inked, dict[int, list[tuple[int, str]]]] = {}
        for target in self._targets:
            rest = target.label[len(self._typed) :]
            by_widget.setdefault(target.widget, {}).setdefault(target.spot.y, []).append((target.spot.x, rest))
        for widget in [*by_widget, *(widget for widget in self._marked if widget not in by_widget)]:
            _mark(widget, by_widget.get(widget, {}))
        self._marked = set(by_widget)


def _mark(widget: Inked, marks: dict[int, list[tuple[int, str]]]) -> None:
    """Give a widget its letters and repaint the cells that had or get one."""
    before, widget.jump_marks = widget.jump_marks, marks
    # Two cells: a label had or will have at most two letters.
    cells = {(x, y) for each in (before, marks) for y, row in each.items() for x, _ in row}
    inwards = widget.content_offset if isinstance(widget, Panel) else None
    regions = [Region(x, y, 2, 1) for x, y in cells]
    if inwards is not None:
        regions = [region.translate((-inwards.x, -inwards.y)) for region in regions]
    if regions and widget.is_mounted:
        widget.refresh(*regions)


def first_focusable(panel: Panel) -> Widget | None:
    """What takes the focus of a panel."""
    return next((child for child in panel.query("*") if child.can_focus and not child.disabled), None)
