"""`backprop runs`: one line per run, newest first."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.summary import RunSummary, list_summaries

_HEAD = ("state", "id", "name", "model", "data", "step", "loss", "age")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_json(parser, "print one JSON array")


def run(args: Namespace, out: Output) -> int:
    """List the runs."""
    summaries = list_summaries()
    if args.json:
        out.json([summary.to_dict() for summary in summaries])
    elif summaries:
        out.table(_HEAD, (_cells(summary, out) for summary in summaries), right=(5, 6, 7), flexible=2)
        for summary in summaries:
            if summary.state is RunState.CRASHED:
                out.say(_crash(summary))
    else:
        out.say("No run yet. Start one with `backprop demo` or `backprop train DATA`.")
    return EXIT_OK


def _cells(summary: RunSummary, out: Output) -> tuple[str, ...]:
    view = summary.view
    total = words.count(view.total_steps)
    return (
        out.state(summary.state),
        summary.run.short_id,
        safe_text(summary.title, limit=60),
        _tail(summary.model),
        _tail(summary.data),
        f"{words.count(view.step)}/{total}",
        words.loss(view.loss),
        words.age(view.updated or summary.created),
    )


def _crash(summary: RunSummary) -> str:
    name, step = summary.run.short_id, summary.resume_step
    where = "crashed before anything was saved" if step is None else f"crashed, resumable from step {words.count(step)}"
    return f"{name} {where}: `backprop resume {name}`."


def _tail(name: str) -> str:
    return words.shorten(safe_text(name.rstrip("/").rsplit("/", 1)[-1] or words.UNKNOWN), 24)
