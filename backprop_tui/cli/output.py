"""Where words and data go: data to stdout, words to stderr, colour only on a terminal that wants it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TextIO

from backprop_tui.cli.words import fit, width
from backprop_tui.protocol.codec import to_json
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.states import RunState

Style = Literal["plain", "bold", "dim", "good", "warn", "bad", "live", "accent"]

_CODES: dict[str, str] = {
    "plain": "",
    "bold": "1",
    "dim": "2",
    "good": "32",
    "warn": "33",
    "bad": "31",
    "live": "36",
    "accent": "34",
}
_STATE_STYLES: dict[RunState, Style] = {
    RunState.QUEUED: "dim",
    RunState.STARTING: "dim",
    RunState.RUNNING: "live",
    RunState.PAUSED: "warn",
    RunState.STOPPING: "warn",
    RunState.COMPLETED: "good",
    RunState.STOPPED: "plain",
    RunState.ABORTED: "plain",
    RunState.FAILED: "bad",
    RunState.CRASHED: "bad",
}
_ASCII = str.maketrans(
    {
        **dict(zip("·–…×“”━─╸▌░▁▂▃▄▅▆▇█", '--~x""=->>._.-~=+*#', strict=True)),
        **{state.glyph: state.ascii_glyph for state in RunState},
        "→": "->",
        "°": "",
        "↵": "\\n",
        "≥": ">=",
    }
)


class Output:
    """Both streams of one command.

    Args:
        data: stdout. words: stderr.
        as_json: the command was asked for JSON, so errors are JSON on stdout as well.
        environment: where NO_COLOR and TERM are looked up.
        ascii: only ASCII signs, even where the stream could carry more.
    """

    def __init__(
        self,
        data: TextIO,
        words: TextIO,
        *,
        as_json: bool = False,
        environment: Mapping[str, str] = os.environ,
        ascii: bool = False,
    ) -> None:
        self.as_json = as_json
        self._data, self._words = data, words
        encoding = (getattr(data, "encoding", None) or "ascii").lower().replace("-", "")
        self.ascii = ascii or not encoding.startswith("utf")
        plain = bool(environment.get("NO_COLOR")) or environment.get("TERM", "").lower() in ("dumb", "unknown")
        self.terminal = data.isatty()
        self._colour = self.terminal and not plain
        self._words_colour = words.isatty() and not plain

    @classmethod
    def standard(cls, *, as_json: bool = False) -> Output:
        """The process's own streams."""
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                # A path with undecodable bytes, or a terminal without Unicode, must not end the program.
                reconfigure(errors="backslashreplace")
        return cls(sys.stdout, sys.stderr, as_json=as_json, ascii=_ascii_wanted())

    @property
    def columns(self) -> int:
        """Width of the terminal in cells (80 when it does not say)."""
        return shutil.get_terminal_size().columns

    @property
    def rows(self) -> int:
        """Height of the terminal in lines (24 when it does not say)."""
        return shutil.get_terminal_size().lines

    def line(self, text: str = "") -> None:
        """One line of data, written at once so that a reader of the pipe is not kept waiting."""
        self._data.write(self.shown(text) + "\n")
        self._data.flush()

    def raw(self, text: str) -> None:
        """Data as it is: scripts, control sequences of our own."""
        self._data.write(text)
        self._data.flush()

    def json(self, value: Any) -> None:
        """One JSON document on one ASCII line."""
        self._data.write(to_json(value) + "\n")
        self._data.flush()

    def say(self, text: str) -> None:
        """One line of words."""
        try:
            self._words.write(self.shown(text) + "\n")
            self._words.flush()
        except OSError:
            # Nobody listens to words any more; the data may still be wanted.
            pass

    def error(self, error: BackpropError) -> None:
        """What happened and what to do: on stderr, and with `--json` also as `{"error": …}` on stdout."""
        if self.as_json:
            self.json({"error": error.to_dict()})
        code = self._paint(error.code, "bad") if self._words_colour else error.code
        rest = f"{error.cause} {error.next_step}".rstrip()
        self.say(f"{code}: {rest}")

    def style(self, text: str, style: Style) -> str:
        """`text` in a style if stdout takes colour, else as it is."""
        return self._paint(text, style) if self._colour else text

    def state(self, state: RunState) -> str:
        """Glyph and word of a state, coloured."""
        return self.style(f"{state.glyph} {state.value}", _STATE_STYLES[state])

    def table(
        self,
        head: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        right: Iterable[int] = (),
        flexible: int | None = None,
    ) -> None:
        """Aligned columns, two cells apart.

        Args:
            head: column titles.
            rows: cells, styled or not.
            right: columns aligned to the right.
            flexible: the column cut with `…` when a terminal is too narrow (a pipe gets everything).
        """
        cells = [list(row) for row in rows]
        widths = [max([width(title), *(width(row[at]) for row in cells)]) for at, title in enumerate(head)]
        if flexible is not None and self.terminal:
            over = sum(widths) + 2 * (len(widths) - 1) - self.columns
            widths[flexible] = max(8, widths[flexible] - max(0, over))
        aligned_right = frozenset(right)

        def laid_out(row: Sequence[str]) -> str:
            shown = [fit(cell, widths[at], right=at in aligned_right) for at, cell in enumerate(row)]
            return "  ".join(shown).rstrip()

        self.line(self.style(laid_out(head), "dim"))
        for row in cells:
            self.line(laid_out(row))

    def shown(self, text: str) -> str:
        """`text` in the signs this output may use."""
        return text.translate(_ASCII) if self.ascii else text

    @staticmethod
    def _paint(text: str, style: Style) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if _CODES[style] else text


def _ascii_wanted() -> bool:
    from backprop_tui.config import paths

    if "BACKPROP_ASCII" not in os.environ and not (paths.config_dir() / "settings.toml").exists():
        return False
    from backprop_tui.app.terminal import read_preferences

    return bool(read_preferences(os.environ).get("ascii"))
