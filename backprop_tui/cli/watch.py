"""`backprop watch [RUN]`: a small view redrawn in place, a line, a line of one's own, or JSON. Needs no Textual."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from backprop_tui.cli.follow import exit_code, follow, follow_as_json
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.cli.watch_format import Facts, Template, fields_help
from backprop_tui.cli.watch_panel import panel, sentences, status_line
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.view import RunView
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.summary import RunSummary, load_summary

if TYPE_CHECKING:
    import asyncio

#: Shortest pause between two redraws, two lines and two spoken lines, in seconds.
_REDRAW_EVERY = 0.5
_LINE_EVERY = 1.0
_WORDS_EVERY = 15.0

_MORE = """
fields of --format (a value that is unknown is –):
{fields}

Numbers take a format as in {{loss:.3f}} or {{rate:>8,.0f}}; a brace itself is {{{{ or }}}}.

  tmux status bar:   set -g status-interval 5
                     set -g status-right '#(backprop watch --once --format "{{loss:.3f}} {{percent:.0f}}%% {{eta}}")'
  screen readers:    backprop watch --words
"""

Line = Callable[[RunSummary, RunView, RunState], str]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--once", action="store_true", help="print the view once and leave")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--line", action="store_true", help="one status line, again whenever it changes")
    shape.add_argument("--words", action="store_true", help="whole sentences without signs, for screen readers")
    shape.add_argument("--format", metavar="TEXT", help="a line of your own, such as '{loss:.3f} {eta}'")
    parser.add_argument(
        "--every", type=_seconds, metavar="SECONDS",
        help=f"at most one line in this time (1; {_WORDS_EVERY:.0f} with --words); a change of state comes at once",
    )  # fmt: skip
    parser.add_argument(
        "--after", type=int, default=0, metavar="SEQ", help="with --json: skip events up to this number"
    )
    add_json(parser, "print events, a JSON object per line; with --once one object")
    parser.epilog = _MORE.format(fields=fields_help())


def run(args: Namespace, out: Output) -> int:
    """Show the run until it is over, or once."""
    # A template that can't be filled is said before anything is read.
    line = _line_of(args, out)
    found = find_run(args.run)
    if args.json and not args.once:
        return follow_as_json(found, out, after=args.after)
    summary = load_summary(found)
    if args.once:
        if args.json:
            out.json(summary.to_dict())
        elif line is not None:
            out.line(line(summary, summary.view, summary.state))
        else:
            for row in panel(summary, summary.view, summary.state, _losses(found), out):
                out.line(row)
        return EXIT_OK
    if line is None and not out.terminal:
        line = _status(out)
    usual = _REDRAW_EVERY if line is None else _WORDS_EVERY if args.words else _LINE_EVERY
    view = _Watch(summary, out, line, usual if args.every is None else args.every)
    try:
        view.show()
        if summary.state.live:
            follow(found, view.take, after=summary.view.seq)
    finally:
        view.leave()
    return exit_code(load_summary(found).state)


class _Watch:
    """Shows what changed, never more often than it may; silence costs no bytes.

    Args:
        line: writes the one line to print again when it differs; None draws the panel in place.
        every: shortest time between two looks in seconds; what settles a run is shown at once.
    """

    def __init__(self, summary: RunSummary, out: Output, line: Line | None, every: float) -> None:
        self._summary, self._out, self._line, self._every = summary, out, line, every
        self._view, self._losses = summary.view, _losses(summary.run) if line is None else []
        self._drawn: list[str] = []
        self._columns = out.columns
        self._due = 0.0
        self._later: asyncio.TimerHandle | None = None

    def take(self, batch: list[Event]) -> None:
        was = self._view.state
        self._view.apply(batch)
        if self._line is None:
            self._losses += [loss for event in batch if (loss := _loss_of(event)) is not None]
        settled = self._view.state is not was or (
            self._line is None and any(event.kind in ev.DURABLE for event in batch)
        )
        wait = self._due - time.monotonic()
        if settled or wait <= 0:
            self.show()
        elif self._later is None:
            import asyncio

            # What comes too soon is shown when its time has come, not with the next event: that may be minutes away.
            self._later = asyncio.get_running_loop().call_later(wait, self.show)

    def show(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        state = self._view.state if self._summary.state.live else self._summary.state
        self._due = time.monotonic() + self._every
        if self._line is None:
            self._draw(panel(self._summary, self._view, state, self._losses, self._out))
        else:
            line = self._line(self._summary, self._view, state)
            if [line] != self._drawn:
                self._out.line(line)
                self._drawn = [line]

    def leave(self) -> None:
        if not self._summary.state.live:
            return
        # The engine may have died without a word: the last look asks the lock, not the journal.
        self._summary = load_summary(self._summary.run)
        self._view = self._summary.view
        if not self._summary.state.live and sys.exc_info()[0] is None:
            self.show()

    def _draw(self, lines: list[str]) -> None:
        """Go up to the first line drawn and rewrite only those that differ."""
        lines = lines[: max(1, self._out.rows - 1)]
        if self._out.columns != self._columns:
            # A resized terminal has folded what was drawn: nobody knows how many lines up it began.
            if self._drawn:
                self._out.raw("\x1b[2J\x1b[H")
            self._columns, self._drawn = self._out.columns, []
        if lines == self._drawn:
            return
        keys = [f"\x1b[{len(self._drawn)}A"] if self._drawn else []
        for at, line in enumerate(lines):
            same = at < len(self._drawn) and self._drawn[at] == line
            keys.append("\r\n" if same else f"\r\x1b[2K{line}\r\n")
        keys += ["\x1b[J"] if len(lines) < len(self._drawn) else []
        self._out.raw(self._out.shown("".join(keys)))
        self._drawn = lines


def _line_of(args: Namespace, out: Output) -> Line | None:
    """What writes the line that was asked for; None for the panel."""
    if args.format is not None:
        template = Template(args.format)
        return lambda summary, view, state: template.fill(Facts(summary, view, state))
    if args.words:
        return sentences
    return _status(out) if args.line else None


def _status(out: Output) -> Line:
    return lambda summary, view, state: status_line(summary, view, state, out)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def _losses(found: RunDir) -> list[float]:
    return [
        loss for event in read_events(found.journal_file, kinds=(ev.STEP,)) if (loss := _loss_of(event)) is not None
    ]


def _loss_of(event: Event) -> float | None:
    loss = number(event.data.get("loss")) if event.kind == ev.STEP else None
    return loss if loss is not None and abs(loss) < float("inf") else None
