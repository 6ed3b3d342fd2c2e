"""`backprop watch [RUN]`: a small view redrawn in place, a status line, or JSON. Needs no Textual."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from itertools import pairwise
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.follow import exit_code, follow, follow_as_json
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.cli.progress import status_text
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.summary import RunSummary, load_summary

#: Shortest pause between two redraws in seconds.
_REDRAW_EVERY = 0.5
_SPARKS = "▁▂▃▄▅▆▇█"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--once", action="store_true", help="print the view once and leave")
    parser.add_argument("--line", action="store_true", help="one status line, again whenever it changes")
    parser.add_argument(
        "--after", type=int, default=0, metavar="SEQ", help="with --json: skip events up to this number"
    )
    add_json(parser, "print events, a JSON object per line; with --once one object")


def run(args: Namespace, out: Output) -> int:
    """Show the run until it is over, or once."""
    found = find_run(args.run)
    if args.json and not args.once:
        return follow_as_json(found, out, after=args.after)
    summary = load_summary(found)
    if args.once:
        if args.json:
            out.json(summary.to_dict())
        elif args.line:
            out.line(status_line(summary, summary.view, summary.state, out))
        else:
            for line in panel(summary, summary.view, summary.state, _losses(found), out):
                out.line(line)
        return EXIT_OK
    view = _Watch(summary, out, in_place=out.terminal and not args.line)
    try:
        view.show()
        if summary.state.live:
            follow(found, view.take, after=summary.view.seq)
    finally:
        view.leave()
    return exit_code(load_summary(found).state)


def status_line(summary: RunSummary, view: RunView, state: RunState, out: Output) -> str:
    """State, id, title and figures on one line."""
    title = safe_text(summary.title, limit=40)
    return f"{out.state(state)}  {summary.run.short_id}  {title}  {status_text(view)}"


def panel(summary: RunSummary, view: RunView, state: RunState, losses: list[float], out: Output) -> list[str]:
    """The view: five to eight lines that fit the terminal's width."""
    width = out.columns if out.terminal else 80
    title = safe_text(summary.title, limit=60)
    lines = [f"{out.state(state)}  {summary.run.short_id}  {out.style(title, 'bold')}"]
    lines.append(f"step {_progress(view, width)}")
    figures = [f"loss {words.loss(view.loss)}", f"eval {words.loss(view.eval_loss)}"]
    if view.best_eval_step is not None:
        figures[-1] += f" (best {words.loss(view.best_eval_loss)} at {words.count(view.best_eval_step)})"
    figures += [f"lr {words.rate(view.lr)}", f"gradient {words.loss(view.grad_norm)}"]
    lines.append("  ".join(figures))
    if len(losses) > 1:
        lines.append(out.style(_sparkline(losses, min(60, width - 6)), "accent") + out.style(" loss", "dim"))
    lines += _machine(view.telemetry)
    if view.fault:
        lines.append(out.style(safe_text(f"{view.fault.get('code', '')}: {view.fault.get('cause', '')}"), "bad"))
        lines.append(safe_text(view.fault.get("next", "")))
    elif state is RunState.CRASHED:
        lines.append(f"`backprop resume {summary.run.short_id}` continues it.")
    elif view.phase and view.phase != "train":
        done = f" {words.count(view.phase_done)}/{words.count(view.phase_total)}" if view.phase_total else ""
        lines.append(f"{safe_text(view.phase)}{done}  {safe_text(view.phase_detail)}".rstrip())
    elif view.checkpoint_step is not None:
        lines.append(f"checkpoint at step {words.count(view.checkpoint_step)}")
    return [words.shorten(line, width) for line in lines]


class _Watch:
    """Redraws when something changed, never more often than `_REDRAW_EVERY`; silence costs no bytes."""

    def __init__(self, summary: RunSummary, out: Output, *, in_place: bool) -> None:
        self._summary, self._out, self._in_place = summary, out, in_place
        self._view, self._losses = summary.view, _losses(summary.run) if in_place else []
        self._drawn: list[str] = []
        self._columns = out.columns
        self._due = 0.0

    def take(self, batch: list[Event]) -> None:
        self._view.apply(batch)
        if self._in_place:
            self._losses += [loss for event in batch if (loss := _loss_of(event)) is not None]
        settled = any(event.kind in ev.DURABLE for event in batch)
        if settled or time.monotonic() >= self._due:
            self.show()

    def show(self) -> None:
        state = self._view.state if self._summary.state.live else self._summary.state
        self._due = time.monotonic() + _REDRAW_EVERY
        if self._in_place:
            self._draw(panel(self._summary, self._view, state, self._losses, self._out))
        else:
            line = status_line(self._summary, self._view, state, self._out)
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


def _progress(view: RunView, width: int) -> str:
    step, total = words.count(view.step), words.count(view.total_steps)
    if not view.total_steps:
        return f"{step}/{total}"
    share = min(1.0, view.step / view.total_steps)
    cells = max(8, min(30, width - 56))
    full = int(share * cells)
    bar = "━" * full + ("╸" if full < cells else "") + "─" * (cells - full - 1)
    speed = f"  {words.count(view.tokens_per_s)} tokens/s" if view.tokens_per_s is not None else ""
    left = f"  {words.duration(view.seconds_left)} left" if view.seconds_left else ""
    return f"{step}/{total} {bar} {100 * share:.0f} %{speed}{left}"


def _machine(telemetry: dict[str, Any]) -> list[str]:
    if not telemetry:
        return []
    lines = []
    for gpu in telemetry.get("gpus") or []:
        values = [f"gpu {gpu.get('index')}", _with(gpu.get("utilisation"), "%")]
        values.append(f"{words.size(number(gpu.get('memory_used')))} of {words.size(number(gpu.get('memory_total')))}")
        values += [_with(gpu.get("temperature"), "°C"), _with(gpu.get("power"), "W")]
        lines.append("  ".join(values))
    if not lines and telemetry.get("gpu_reason"):
        lines.append(f"gpu  {safe_text(telemetry['gpu_reason'])}")
    host = telemetry.get("host") or {}
    memory = f"{words.size(number(host.get('memory_used')))} of {words.size(number(host.get('memory_total')))}"
    disk = words.size(number(host.get("disk_free")))
    lines.append(f"host  cpu {_with(host.get('cpu'), '%')}  memory {memory}  disk {disk} free")
    return lines


def _with(value: object, unit: str) -> str:
    known = number(value)
    return words.UNKNOWN if known is None else f"{known:.0f} {unit}"


def _losses(found: RunDir) -> list[float]:
    return [
        loss for event in read_events(found.journal_file, kinds=(ev.STEP,)) if (loss := _loss_of(event)) is not None
    ]


def _loss_of(event: Event) -> float | None:
    loss = number(event.data.get("loss")) if event.kind == ev.STEP else None
    return loss if loss is not None and abs(loss) < float("inf") else None


def _sparkline(values: list[float], cells: int) -> str:
    cells = max(1, min(cells, len(values)))
    edges = [round(at * len(values) / cells) for at in range(cells + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(_SPARKS[min(7, int(8 * (mean - low) / span))] for mean in means)
