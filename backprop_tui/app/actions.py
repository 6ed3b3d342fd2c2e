"""The one description of what keys do.

An `Action` feeds the binding, the footer's hint, the `?` help and the `^P` palette; its `id` is what a person's own keymap
names. The tables live in `keymap/`, one module per screen, and import nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from backprop_tui.app import keymap
from backprop_tui.app.keynames import key_words
from backprop_tui.app.watching import refused

if TYPE_CHECKING:
    from textual.binding import ActiveBinding, Binding, BindingType
    from textual.screen import Screen

#: Where actions live, and the title of each group in the help.
SCOPES: dict[str, str] = {
    "data": "Data",
    "tune": "Tune",
    "run": "Run",
    "chart": "Chart",
    "machine": "Machine",
    "log": "Log",
    "samples": "Samples",
    "alerts": "Alerts",
    "matrix": "Runs of a multi-run",
    "runs": "Runs",
    "checkpoints": "Checkpoints of a run",
    "compare": "Compare",
    "replay": "Replay",
    "settings": "Settings",
    "list": "Lists, tables and texts",
    "shell": "Everywhere",
}
#: Modules of `keymap/` that come last in help and palette; the others stand before them by name.
_LAST = ("moves", "shell")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a key does.

    Attributes:
        id: stable name, `scope.verb`. keys: comma-separated key names as Textual spells them.
        call: the `action_…` method without its prefix, with arguments in parentheses where it has any.
        title: two to five words for palette and help. help: one sentence.
        hint: the footer's word; empty keeps it out of the footer.
        show: the key as written in footer and help, when the first of `keys` reads badly.
        palette: whether the palette lists it before anything is typed (movement keys would only be in the way).
    """

    id: str
    keys: str
    call: str
    title: str
    help: str
    hint: str = ""
    show: str = ""
    palette: bool = True

    @property
    def scope(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    @property
    def own_keys(self) -> tuple[str, ...]:
        """The keys it has unless a person gives it others, as Textual spells them."""
        return tuple(self.keys.split(","))

    @property
    def binding(self) -> Binding:
        """Textual's binding for it."""
        from textual.binding import Binding

        call = "app.only_watching" if refused(self.id) else self.call
        return Binding(self.keys, call, self.title, show=False, key_display=self.show or None, id=self.id)


def bindings(actions: Iterable[Action]) -> list[BindingType]:
    """The `BINDINGS` of a screen or widget."""
    return [action.binding for action in actions]


@cache
def registry() -> dict[str, Action]:
    """Every action of every scope by id, in table order."""
    found: dict[str, Action] = {}
    names = [module.name for module in iter_modules(keymap.__path__)]
    for name in [*(name for name in names if name not in _LAST), *_LAST]:
        for action in import_module(f"backprop_tui.app.keymap.{name}").ACTIONS:
            found[action.id] = action
    places = list(SCOPES)
    return dict(sorted(found.items(), key=lambda item: places.index(item[1].scope)))


def active_keys(screen: Screen[Any]) -> dict[str, tuple[Action, list[str], ActiveBinding]]:
    """Actions that answer on a screen now, in table order: the action, its keys as they are now, and its binding."""
    keys: dict[str, list[str]] = {}
    entries: dict[str, ActiveBinding] = {}
    for key, entry in screen.active_bindings.items():
        name = entry.binding.id or ""
        keys.setdefault(name, []).append(key)
        entries.setdefault(name, entry)
    found: dict[str, tuple[Action, list[str], ActiveBinding]] = {}
    for name, action in registry().items():
        if name in keys and entries[name].enabled and not refused(name):
            order = action.keys.split(",")
            now = sorted(keys[name], key=lambda key: order.index(key) if key in order else len(order))
            found[name] = (action, now, entries[name])
    return found


def key_shown(action: Action, keys: list[str]) -> str:
    """The key to name for an action: its own writing unless the person gave it another key."""
    remapped = keys[0] not in action.keys.split(",")
    return key_words(keys[0]) if remapped or not action.show else action.show
