"""What is told outside the screen: the window's title, and a sign of the terminal when something happened unseen.

A title is written only when it differs, and while the terminal is not focused only when the run's state does. A terminal
that never reports its focus counts as looked at while keys come.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping

from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text

#: States whose beginning is told.
TOLD = frozenset({RunState.PAUSED, RunState.COMPLETED, RunState.FAILED, RunState.CRASHED, RunState.STOPPED})
#: Seconds without a key after which nobody is taken to look, where the terminal does not report its focus.
_AWAY_S = 60.0
#: Terminals that show OSC 9 or OSC 777 as a notification, by what they say of themselves.
_OSC9 = frozenset({"iTerm.app", "WezTerm", "ghostty", "kitty", "WarpTerminal"})
_OSC777 = frozenset({"foot", "rxvt-unicode", "contour"})


def sign_of(notify: str, environ: Mapping[str, str]) -> str:
    """The way to tell, off, bell, osc9 or osc777, for a `notify` setting in this terminal."""
    if notify != "auto":
        return notify
    if environ.get("TMUX") or environ.get("STY"):
        # What lies behind is unknown; a bell is passed on and marks the window.
        return "bell"
    program, term = environ.get("TERM_PROGRAM", ""), environ.get("TERM", "")
    if program in _OSC9 or "kitty" in term or "ghostty" in term:
        return "osc9"
    if program in _OSC777 or term.startswith(("foot", "rxvt", "contour")):
        return "osc777"
    return "bell"


def signal(way: str, words: str, *, wrap: str = "") -> str:
    """The control sequence that tells `words`.

    Args:
        way: off, bell, osc9 or osc777.
        words: one sentence; made harmless here.
        wrap: `tmux` or `screen` sends it through that multiplexer, which must allow it.
    """
    text = safe_text(words, limit=160).replace(";", ",")
    if way == "osc9":
        # Never digits first: "9;4;…" is a progress bar to some terminals.
        inner = f"\x1b]9;backprop: {text}\x07"
    elif way == "osc777":
        inner = f"\x1b]777;notify;backprop;{text}\x07"
    else:
        return "\x07" if way == "bell" else ""
    if wrap == "tmux":
        return f"\x1bPtmux;{inner.replace(chr(27), chr(27) * 2)}\x1b\\"
    return f"\x1bP{inner}\x1b\\" if wrap == "screen" else inner


def multiplexer(environ: Mapping[str, str]) -> tuple[str, bool]:
    """The multiplexer around us and whether it passes foreign sequences on. Asks tmux; for a thread."""
    if environ.get("TMUX"):
        return "tmux", tmux_allows_passthrough()
    return ("screen", True) if environ.get("STY") else ("", True)


def tmux_allows_passthrough() -> bool:
    """What tmux says of its `allow-passthrough` option for this pane."""
    try:
        done = subprocess.run(
            ["tmux", "show-options", "-Apv", "allow-passthrough"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in (b"on", b"all")


def title_words(title: str, state: RunState | None, share: float | None, *, ascii: bool = False) -> str:
    """The window's title: `backprop ● 31% voyage`; share is the part of the run that is done, 0 to 1."""
    if state is None:
        return "backprop"
    sign = state.ascii_glyph if ascii else state.glyph
    done = f" {int(100 * share)}%" if share is not None and state.live else f" {state.value}"
    return safe_text(f"backprop {sign}{done} {title}".rstrip(), limit=80)


def told_words(title: str, state: RunState, loss: str) -> str:
    """One sentence about a state that began."""
    name = safe_text(title, limit=60) or "the run"
    if state is RunState.COMPLETED:
        return f"{name} is done, loss {loss}"
    if state is RunState.PAUSED:
        return f"{name} is paused"
    if state is RunState.STOPPED:
        return f"{name} has stopped"
    return f"{name} failed" if state is RunState.FAILED else f"{name}: its engine is gone"


class Outside:
    """Keeps title and signs of one app.

    Args:
        write: sends a control sequence to the terminal. later: runs a function in a thread.
    """

    def __init__(self, write: Callable[[str], None], later: Callable[[Callable[[], None]], None]) -> None:
        self._write, self._later = write, later
        self.notify, self.title, self.ascii = "off", False, False
        self.focused = True
        self._focus_known = False
        self._last_key = time.monotonic()
        self._shown = ""
        self._state: RunState | None = None
        self._run = ""

    def begin(self) -> None:
        """Remember the title the window had, and give it ours."""
        if self.title:
            self._write("\x1b[22;2t")
            self._set_title("backprop")

    def end(self) -> None:
        """Give the window its title back."""
        if self._shown:
            self._write("\x1b[23;2t")
            self._shown = ""

    def use(self, *, notify: str, title: bool, ascii: bool) -> None:
        """Other settings, at once."""
        self.notify, self.ascii = notify, ascii
        if self.title and not title:
            self.end()
        began = title and not self.title
        self.title = title
        if began:
            self.begin()

    def looked_at(self, focused: bool) -> None:
        """The terminal said that it has the focus, or has lost it."""
        self.focused, self._focus_known = focused, True

    def key(self) -> None:
        """Somebody typed."""
        self._last_key = time.monotonic()

    @property
    def away(self) -> bool:
        """Whether nobody looks."""
        return not self.focused if self._focus_known else time.monotonic() - self._last_key > _AWAY_S

    def hear(self, run: str, title: str, state: RunState, share: float | None, loss: str) -> None:
        """What is known of the open run; `run` is its id, so that opening another one tells nothing."""
        before, self._state = (self._state if run == self._run else None), state
        self._run = run
        if self.focused or state is not before:
            self._set_title(title_words(title, state, share, ascii=self.ascii))
        if before is not None and before is not state and before.live and state in TOLD and self.away:
            self._tell(told_words(title, state, loss))

    def _set_title(self, words: str) -> None:
        if self.title and words != self._shown:
            self._shown = words
            self._write(f"\x1b]0;{words}\x07")

    def _tell(self, words: str) -> None:
        way = sign_of(self.notify, os.environ)
        if way in ("off", "bell"):
            self._write(signal(way, words))
            return

        def tell() -> None:
            around, allowed = multiplexer(os.environ)
            self._write(signal(way, words, wrap=around) if allowed else signal("bell", words))

        self._later(tell)
