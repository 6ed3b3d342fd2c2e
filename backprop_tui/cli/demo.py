"""`backprop demo`: a real fine-tuning run on the bundled model and data, with proof that it learnt."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from backprop_tui.cli.follow import follow_as_json, follow_as_lines, on_terminal, show_panel
from backprop_tui.cli.output import Output
from backprop_tui.cli.train import add_ways_to_stay, compose, launch, tell
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir
from backprop_tui.store.summary import load_summary

#: Questions shown in the table; the journal has them all.
_SHOWN = 8


@dataclass(slots=True)
class Answer:
    """One held-out question with the answer of the base and of the tuned model."""

    question: str
    before: str = ""
    after: str = ""
    matched_before: bool = False
    matched_after: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_ways_to_stay(parser)


def run(args: Namespace, out: Output) -> int:
    """Fine-tune the bundled model and show what changed."""
    from backprop_tui.hardware.extras import require

    require("train")
    started = launch(compose("demo", {"path": "demo"}, model="demo"))
    if args.detach:
        return tell(started, out)
    if args.json:
        return follow_as_json(started, out, extra=lambda: _proof(started))
    panel = on_terminal(out) and not args.headless
    code = show_panel(started, out, args.preferences) if panel else follow_as_lines(started, out)
    if not load_summary(started).state.live:
        show_answers(read_answers(started), out)
    return code


def read_answers(run: RunDir) -> list[Answer]:
    """The held-out questions a run answered, with the last answer of each model, in order."""
    answers: dict[int, Answer] = {}
    for event in read_events(run.journal_file, kinds=(ev.SAMPLE,)):
        data = event.data
        index = data.get("index")
        if not isinstance(index, int):
            continue
        answer = answers.setdefault(index, Answer(safe_text(data.get("prompt", ""))))
        if data.get("source") == "base":
            answer.before, answer.matched_before = safe_text(data.get("output", "")), bool(data.get("match"))
        else:
            answer.after, answer.matched_after = safe_text(data.get("output", "")), bool(data.get("match"))
    return [answers[index] for index in sorted(answers)]


def show_answers(answers: list[Answer], out: Output) -> None:
    """The before/after table, and the exact match on all held-out questions."""
    both = [answer for answer in answers if answer.before and answer.after]
    if not both:
        return
    out.line()
    out.table(
        ("question", "before", "after", ""),
        (
            (answer.question, answer.before, answer.after, _verdict(answer.matched_after, out))
            for answer in both[:_SHOWN]
        ),
        flexible=2,
    )
    if len(both) > _SHOWN:
        out.line(out.style(f"… and {len(both) - _SHOWN} more", "dim"))
    out.line()
    before, after = (100 * sum(hits) / len(both) for hits in _hits(both))
    out.line(out.style(f"exact match  {before:.0f} % → {after:.0f} %", "bold") + f"  on {len(both)} held-out questions")


def _hits(answers: list[Answer]) -> tuple[list[bool], list[bool]]:
    return [answer.matched_before for answer in answers], [answer.matched_after for answer in answers]


def _verdict(matched: bool, out: Output) -> str:
    return out.style("✓", "good") if matched else out.style("✗", "bad")


def _proof(started: RunDir) -> dict[str, Any]:
    answers = read_answers(started)
    before, after = _hits(answers)
    return {
        "exact_match": {
            "before": sum(before) / len(before) if before else None,
            "after": sum(after) / len(after) if after else None,
        },
        "answers": [
            {"question": a.question, "before": a.before, "after": a.after, "match": a.matched_after} for a in answers
        ],
    }
