"""Following a run from a command, and what is said when the follower leaves before the run does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.progress import ProgressLines
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.layout import RunDir
from backprop_tui.store.summary import load_summary


def follow(run: RunDir, handle: Callable[[list[Event]], None], *, after: int = 0) -> None:
    """Hand every batch of events above `after` to `handle` until the run is over.

    Ctrl-C and SIGTERM leave the run alone: they end the following (KeyboardInterrupt, SystemExit).
    """
    import asyncio

    from backprop_tui.launch.session import RunSession

    async def until_over() -> None:
        async with RunSession(run) as session:
            async for batch in session.events(after=after):
                handle(batch)

    asyncio.run(until_over())


def follow_as_lines(run: RunDir, out: Output, *, view: RunView | None = None) -> int:
    """Print a run's progress until it is over; the exit code tells how it ended.

    Args:
        run: the run.
        out: where the lines go.
        view: what was already shown; the lines go on from there.
    """
    progress = ProgressLines(out, view)

    def handle(batch: list[Event]) -> None:
        for line in progress.lines(batch):
            out.line(line)
        if progress.view.state is RunState.PAUSED and any(event.kind == ev.STATE for event in batch):
            say_paused(run, progress.view, out)

    try:
        follow(run, handle, after=progress.view.seq)
    except (KeyboardInterrupt, SystemExit):
        say_detached(run, out)
        raise
    return say_outcome(run, out)


def follow_as_json(
    run: RunDir, out: Output, *, after: int = 0, extra: Callable[[], dict[str, Any]] | None = None
) -> int:
    """Print every event as one JSON object per line until the run is over, then a `summary` object.

    Args:
        run: the run.
        out: where the objects go.
        after: events up to this seq are passed over.
        extra: more facts for the summary, asked for at the end.
    """

    def handle(batch: list[Event]) -> None:
        for event in batch:
            out.json(event.to_record())

    try:
        follow(run, handle, after=after)
    except (KeyboardInterrupt, SystemExit):
        say_detached(run, out)
        raise
    summary = load_summary(run)
    out.json({"kind": "summary", "data": {**summary.to_dict(), **(extra() if extra else {})}})
    return exit_code(summary.state)


def say_paused(run: RunDir, view: RunView, out: Output) -> None:
    """What a paused run waits for, as the commands to type: lines have no keys, and nothing more comes of themselves."""
    name = run.short_id
    if (view.fault or {}).get("code") == "LOSS_NOT_FINITE":
        saved = max(view.checkpoints, default=None)
        back = "the start" if saved is None else f"step {words.count(saved)}"
        resume = f"`backprop resume {name} --halve-lr` goes back to {back} with half the learning rate"
    else:
        resume = f"`backprop resume {name}` goes on"
    out.say(f"Run {name} waits at step {words.count(view.step)}. {resume}, `backprop stop {name}` ends it.")


def say_detached(run: RunDir, out: Output) -> None:
    """Nobody should wonder whether Ctrl-C ended the run."""
    if load_summary(run).state.live:
        out.say(
            f"Detached; run {run.short_id} goes on. "
            f"`backprop attach {run.short_id}` comes back to it, `backprop stop {run.short_id}` ends it."
        )


def say_outcome(run: RunDir, out: Output) -> int:
    """How it ended and what can be done next, in words; returns the exit code."""
    summary = load_summary(run)
    view, name = summary.view, run.short_id
    if summary.state is RunState.COMPLETED or (summary.state is RunState.STOPPED and view.result):
        took = words.duration(view.ended - view.started) if view.ended and view.started else words.UNKNOWN
        out.say(f"Run {name} {summary.state.value} at step {words.count(view.step)} after {took}.")
        if view.result:
            out.say(f"`backprop save {name} OUT` copies the result; it is in {safe_text(run.path / view.result)}.")
    elif summary.state is RunState.CRASHED:
        step = summary.resume_step
        start = f"continues from step {words.count(step)}" if step is not None else "starts again from step 0"
        out.say(f"Run {name} crashed at step {words.count(view.step)}. `backprop resume {name}` {start}.")
    elif view.fault:
        text = f"{view.fault.get('code', '')}: {view.fault.get('cause', '')} {view.fault.get('next', '')}"
        out.say(safe_text(f"Run {name} failed. {text}".rstrip()))
    elif summary.state.live:
        out.say(f"Run {name} goes on ({summary.state.value}).")
    else:
        verb = "failed" if summary.state is RunState.FAILED else f"was {summary.state.value}"
        out.say(f"Run {name} {verb} at step {words.count(view.step)}.")
    return exit_code(summary.state)


def show_panel(run: RunDir, out: Output, preferences: dict[str, Any]) -> int:
    """Open the app on a run; afterwards say how the run ended, if it has (the app itself says when it goes on)."""
    from backprop_tui.app import run_app

    code = run_app("run", run, **preferences)
    return code or (EXIT_OK if load_summary(run).state.live else say_outcome(run, out))


def exit_code(state: RunState) -> int:
    """0 when the run delivers or still goes, 1 when it ended badly."""
    return EXIT_FAILED if state in (RunState.FAILED, RunState.CRASHED, RunState.ABORTED) else EXIT_OK


def on_terminal(out: Output) -> bool:
    """Whether a full screen can be shown: the app reads stdin and draws on stderr."""
    import os
    import sys

    return out.terminal and sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
