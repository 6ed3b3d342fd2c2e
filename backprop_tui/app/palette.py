"""What `^P` offers: every action there is. What answers now comes first; the rest goes to where it lives and does it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.app import SystemCommand
from textual.dom import DOMNode
from textual.screen import Screen

from backprop_tui.app.actions import SCOPES, Action, active_keys, key_shown, registry
from backprop_tui.app.comforts import Comforts
from backprop_tui.app.watching import refused

#: The room a scope lives in.
_ROOMS = {
    "data": "data", "tune": "tune", "run": "run", "chart": "run", "log": "run", "samples": "run", "alerts": "run",
    "runs": "runs", "compare": "runs",
}  # fmt: skip


def commands(app: Comforts, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """One command per action: those active now, then those of other panels, then those of other rooms."""
    offers = getattr(screen, "offers", lambda _: True)
    active = active_keys(screen)
    for action, keys, entry in active.values():
        run = partial(app.run_action, entry.binding.action, entry.node)
        words = f"{key_shown(action, keys)}  {action.help}"
        yield SystemCommand(action.title, words, run, discover=action.palette and offers(action))
    for name, action in registry().items():
        if name in active or refused(name):
            continue
        yield SystemCommand(
            f"{SCOPES[action.scope]}: {action.title}", action.help, _elsewhere(app, screen, action), discover=False
        )


def _elsewhere(app: Comforts, screen: Screen[Any], action: Action) -> Callable[[], Any]:
    """Do an action that does not answer where the focus is: in another panel, another room, or nowhere just now."""

    def go() -> None:
        if _do_in(app, screen, action):
            return
        room = _ROOMS.get(action.scope)
        if room is None or app.current_mode == room:
            app.say(f"{action.title} has nothing to act on here.", "warn")
            return
        app.go_to(room)
        app.call_after_refresh(_arrived, app, action)

    return go


def _arrived(app: Comforts, action: Action) -> None:
    if not _do_in(app, app.screen, action):
        app.say(f"{action.title} has nothing to act on just now.", "warn")


def _do_in(app: Comforts, screen: Screen[Any], action: Action) -> bool:
    """Focus what has the action on a screen, and call it; False when nothing has it."""
    node = _holder(screen, action)
    if node is None:
        return False
    if node is not screen and getattr(node, "can_focus", False):
        screen.set_focus(node)  # type: ignore[arg-type]
    app.call_next(app.run_action, action.call, node)
    return True


def _holder(screen: Screen[Any], action: Action) -> DOMNode | None:
    """The screen or the widget whose keys name the action, the visible one first."""
    nodes = [node for node in (screen, *screen.query("*")) if _has(node, action)]
    seen = [node for node in nodes if node is screen or getattr(node, "is_on_screen", False)]
    return next(iter([*seen, *nodes]), None)


def _has(node: DOMNode, action: Action) -> bool:
    return any(binding.id == action.id for bound in node._bindings.key_to_bindings.values() for binding in bound)
