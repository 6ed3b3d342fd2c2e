"""The bottom line: what the keys do here, made from the actions that are active now, and what the app has to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual import events

from backprop_tui.app.actions import Action, active_keys, key_shown
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.widgets.painted import Line, Painted, Piece, ellipsis, width_of

Severity = Literal["info", "good", "warn", "bad"]
#: Hints before the two that are always last.
MAX_HINTS = 8
_LAST = ("shell.help", "shell.palette")
_ROLES: dict[Severity, str] = {"info": "text", "good": "good", "warn": "warn", "bad": "bad"}


class Footer(Painted):
    """One line of hints. `say` puts a sentence in their place until the next key."""

    DEFAULT_CSS = "Footer { height: 1; dock: bottom; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        self._words: tuple[str, Severity] | None = None

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.repaint())

    def say(self, text: str, severity: Severity = "info") -> None:
        """Show a sentence (already `safe_text`) until `quiet`."""
        self._words = (text, severity)
        self.repaint()

    def quiet(self) -> None:
        """Back to the hints."""
        if self._words is not None:
            self._words = None
            self.repaint()

    def on_click(self, event: events.Click) -> None:
        """A click acknowledges what was said."""
        self.quiet()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The line."""
        if self._words is not None:
            text, severity = self._words
            sign = {"info": "", "good": "", "warn": "! ", "bad": "! "}[severity]
            return [((" ", "text"), (ellipsis(sign + text, width - 2, glyphs_of(self).ellipsis), _ROLES[severity]))]
        hints = self._hints()
        last = [hint for hint in hints if hint[0].id in _LAST]
        first = [hint for hint in hints if hint[0].id not in _LAST][:MAX_HINTS]
        roomy = width >= 110
        tail = _pieces(last, glyphs_of(self).axis if roomy else "", roomy)
        room = width - width_of(tail)
        kept: list[Piece] = []
        for hint in first:
            piece = _pieces([hint], "", roomy)
            if width_of(kept) + width_of(piece) > room:
                break
            kept += piece
        return [(*kept, *tail)]

    def _hints(self) -> list[tuple[Action, str, str]]:
        """Active actions that have a hint, the key that calls them now, and the hint: those of the focused panel first."""
        offers = getattr(self.screen, "offers", lambda _: True)
        focused = self.screen.focused
        found = [entry for entry in active_keys(self.screen).values() if entry[0].hint and offers(entry[0])]
        found.sort(key=lambda entry: entry[2].node is not focused)
        word = getattr(self.screen, "hint", lambda action: action.hint)
        return [(action, key_shown(action, keys), word(action)) for action, keys, _ in found]


def _pieces(hints: Sequence[tuple[Action, str, str]], before: str, roomy: bool) -> list[Piece]:
    pieces: list[Piece] = [(f" {before}", "frame")] if before and hints else []
    for _, key, word in hints:
        pieces += [(f" {key}", "key"), (f" {word}", "muted")]
        if roomy:
            pieces.append((" ", "text"))
    return pieces
