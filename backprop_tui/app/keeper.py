"""Gathers what the open rooms show into a `SavedState`, and gives it back to rooms and widgets that come up again.

A room or a widget takes part by two methods: `remember()` returns JSON-ready words, `recall(words)` takes them back and
must bear anything. Nothing is gathered while nobody does anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from backprop_tui.app.jobs import in_thread
from backprop_tui.app.state import SavedState, write_state
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from textual.timer import Timer

    from backprop_tui.app.app import BackpropApp
    from backprop_tui.app.screens.room import Room

#: Seconds after something was done until it is on the disk.
SOON_S = 3.0


@runtime_checkable
class Remembering(Protocol):
    """A room or widget that outlives the app."""

    def remember(self) -> Mapping[str, Any]:
        """What it shows, JSON-ready."""

    def recall(self, words: Mapping[str, Any]) -> None:
        """Show it again; odd words change nothing."""


class Keeper:
    """Remembers one app.

    Args:
        app: whose rooms are asked. saved: what was remembered last.
    """

    def __init__(self, app: BackpropApp, saved: SavedState) -> None:
        self._app = app
        self._saved = saved
        self._written = saved
        self._timer: Timer | None = None

    @property
    def saved(self) -> SavedState:
        """What is known: of the rooms that are open what they show, of the others what they showed."""
        return self._saved

    def touched(self) -> None:
        """Somebody did something: soon it is written."""
        if self._timer is None:
            self._timer = self._app.set_timer(SOON_S, self._write_soon, name="keeper")

    def recall(self, room: Room) -> None:
        """A room came up: give it and its widgets back what they showed."""
        words = self._saved.words_of(room.ROOM)
        if words:
            _recall(room, words)

    def gather(self) -> SavedState:
        """What the open rooms show at this moment."""
        from backprop_tui.app.screens.room import Room

        rooms = {name: dict(words) for name, words in self._saved.rooms.items()}
        open_rooms = [screen for stack in self._app._screen_stacks.values() for screen in stack]
        for room in open_rooms:
            if isinstance(room, Room) and room.is_mounted and room.ROOM in _MODES and room.kept:
                rooms[room.ROOM] = _words_of(room)
        here = self._app.current_mode
        draft = self._app.draft_words()
        run = self._app.run_dir
        self._saved = SavedState(
            here if here in _MODES else "", str(run.path) if run else "", rooms, draft or self._saved.draft
        )
        return self._saved

    def write_now(self) -> None:
        """Write before the app ends."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        state = self.gather()
        if state != self._written:
            self._written = state
            write_state(state)

    def _write_soon(self) -> None:
        self._timer = None
        state = self.gather()
        if state != self._written:
            self._written = state
            in_thread(self._app, lambda _: write_state(state), _nothing, _nothing, group="keeper")


_MODES = ("data", "tune", "run", "runs")


def _nothing(result: object) -> None:
    """A place that can't be written costs the memory, nothing else."""


def _words_of(room: Room) -> dict[str, Any]:
    words = dict(room.remember())
    widgets = {
        name: dict(widget.remember()) for name, widget in _widgets(room).items() if isinstance(widget, Remembering)
    }
    return {**words, "widgets": {name: found for name, found in widgets.items() if found}}


def _recall(room: Room, words: Mapping[str, Any]) -> None:
    _guarded(room, words)
    kept = words.get("widgets")
    if not isinstance(kept, dict):
        return
    for name, widget in _widgets(room).items():
        if isinstance(kept.get(name), dict):
            _guarded(widget, kept[name])


def _widgets(room: Room) -> dict[str, Remembering]:
    """The widgets that take part, by id or by class where they have none; there is one of each."""
    found: dict[str, Remembering] = {}
    for widget in room.query("*"):
        if isinstance(widget, Remembering):
            found.setdefault(widget.id or type(widget).__name__, widget)
    return found


def _guarded(target: Remembering, words: Mapping[str, Any]) -> None:
    """Words come from a file: whatever a target can't make of them, the app starts."""
    try:
        target.recall(words)
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError, BackpropError):
        return
