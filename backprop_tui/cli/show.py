"""`backprop show [RUN]`: everything known of one run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.dataset_words import dataset_facts
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.errors import EXIT_OK, DataError
from backprop_tui.protocol.multi_words import summary_sentence, table
from backprop_tui.protocol.resume_words import lineage_words, resume_sentence
from backprop_tui.protocol.sharing_words import sharing_words
from backprop_tui.protocol.task_figures import words_of
from backprop_tui.protocol.text import safe_block, safe_text
from backprop_tui.store import checkpoints, retention
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.lineage import Parent, children_of, parent_of
from backprop_tui.store.summary import RunSummary, load_summary

#: Least width of the labels; a longer one makes room for all.
_LABEL = 13


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Show one run."""
    found = find_run(args.run)
    summary = load_summary(found)
    try:
        spec = found.read_spec()
    except DataError as error:
        spec = {}
        out.say(str(error))
    saved = checkpoints.list_checkpoints(found)
    shelf, parent, forks = retention.look_at(summary), parent_of(found), children_of(found)
    dataset = found.read_dataset()
    if args.json:
        listed = [
            {
                "step": c.step,
                "path": str(c.path),
                "bytes": c.bytes,
                "problem": c.problem,
                "pinned": None if shelf.pinned is None else c.step in shelf.pinned,
                "stays": list(retention.words_of(c.step, shelf)),
            }
            for c in saved
        ]
        family = {"parent": parent.to_dict() if parent else None, "forks": [fork.id for fork in forks]}
        out.json({**summary.to_dict(), "spec": spec, "dataset": dataset, **family, "checkpoints": listed})
        return EXIT_OK
    facts = [
        *_facts(summary, spec, out),
        *_multi(summary),
        *_family(summary, parent, forks),
        *dataset_facts(dataset or {}),
    ]
    wide = max(_LABEL, *(len(label) + 2 for label, _ in facts))
    for label, text in facts:
        out.line(out.style(f"{label:<{wide}}", "dim") + text)
    for index, info in enumerate(saved):
        label = "checkpoints" if index == 0 else ""
        problem = f"  {safe_text(info.problem)}" if info.problem else ""
        marks = ", ".join(retention.words_of(info.step, shelf))
        text = f"step {words.count(info.step)}  {words.size(info.bytes)}{f'  {marks}' if marks else ''}{problem}"
        out.line(out.style(f"{label:<{wide}}", "dim") + text)
    return EXIT_OK


def _multi(summary: RunSummary) -> Iterator[tuple[str, str]]:
    """The merges and the matrix of a multi-run."""
    if not summary.view.multi.get("rows"):
        return
    for at, line in enumerate(table(summary.view.multi)):
        name, *cells = line
        yield "" if at else "matrix", words.fit(name, 15) + "".join(words.fit(cell, 14, right=True) for cell in cells)
    yield "", summary_sentence(summary.view.multi)


def _family(summary: RunSummary, parent: Parent | None, forks: list[RunDir]) -> Iterator[tuple[str, str]]:
    if parent is not None:
        yield "fork of", lineage_words(parent.to_dict())
    if forks:
        yield "forks", " ".join(fork.short_id for fork in forks)
    if summary.view.resumed:
        yield "resumed", resume_sentence(summary.view.resumed)


def _facts(summary: RunSummary, spec: dict[str, Any], out: Output) -> Iterator[tuple[str, str]]:
    view = summary.view
    yield "run", out.style(safe_text(summary.title), "bold") + f"  {summary.run.id}"
    reason = f"  {safe_text(view.reason)}" if view.reason else ""
    yield "state", out.state(summary.state) + reason
    if view.fault:
        yield "fault", safe_text(f"{view.fault.get('code', '')}: {view.fault.get('cause', '')}")
        yield "next", safe_text(view.fault.get("next", ""))
    elif not summary.state.live and summary.resume_step is not None and not view.result:
        yield "next", f"`backprop resume {summary.run.short_id}` continues from step {words.count(summary.resume_step)}"
    yield "model", f"{safe_text(summary.model)}  {safe_text(summary.method)}"
    task = spec.get("task")
    yield "objective", safe_text(task.get("objective", "sft") if isinstance(task, dict) else "sft")
    yield "data", safe_text(summary.data)
    yield "preset", safe_text(spec.get("preset", words.UNKNOWN))
    attempts = f"  (attempt {view.attempt})" if view.attempt > 1 else ""
    notes = summary.notes
    if notes.tags or notes.experiment:
        yield (
            "tags",
            safe_text(" ".join(f"#{tag}" for tag in notes.tags) or words.UNKNOWN)
            + (f"  in {safe_text(notes.experiment)}" if notes.experiment else ""),
        )
    for at, line in enumerate(safe_block(notes.note).split("\n") if notes.note else ()):
        yield "" if at else "note", line
    yield "step", f"{words.count(view.step)}/{words.count(view.total_steps)}{attempts}"
    yield "loss", f"{words.loss(view.loss)}  lr {words.rate(view.lr)}  gradient norm {words.loss(view.grad_norm)}"
    best = f"  (best {words.loss(view.best_eval_loss)} at step {words.count(view.best_eval_step)})"
    yield "eval loss", words.loss(view.eval_loss) + (best if view.best_eval_loss is not None else "")
    for name in {**view.figures, **view.eval_figures}:
        figure, held = words_of(name), view.eval_figures.get(name)
        beside = "" if held is None else f"  (held out {figure.value(held)})"
        yield figure.title, figure.value(view.figures.get(name)) + beside
    if view.token_accuracy is not None:
        yield "token accuracy", f"{100 * view.token_accuracy:.1f} % of the held-out tokens"
    if view.exact_match is not None:
        yield "exact match", f"{100 * view.exact_match:.0f} %"
    yield "tokens", f"{words.count(view.tokens)}  {words.count(view.tokens_per_s)} tokens/s"
    if view.plan:
        trained, everything = view.plan.get("trainable_parameters"), view.plan.get("parameters")
        yield "parameters", f"{words.count(trained)} trained of {words.count(everything)}"
        yield "device", f"{safe_text(view.plan.get('device', ''))}  {safe_text(view.plan.get('dtype', ''))}"
        if shared := sharing_words(view.plan):
            yield "processes", shared
    spent = view.ended - view.started if view.ended and view.started else None
    yield "age", words.age(summary.created) + (f"  took {words.duration(spent)}" if spent is not None else "")
    if view.seconds_left:
        yield "left", words.duration(view.seconds_left)
    if view.result:
        yield "result", safe_text(summary.run.path / view.result)
    yield "directory", safe_text(summary.run.path)
