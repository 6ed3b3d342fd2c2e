"""`backprop data inspect FILE`: what a data file holds and what a model would make of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import add_json
from backprop_tui.protocol.errors import EXIT_DATA, EXIT_OK
from backprop_tui.protocol.text import safe_text

_PROBLEMS_SHOWN = 10


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", choices=["inspect"], help="the only thing to do with data so far")
    parser.add_argument("file", metavar="FILE", help="jsonl, json, csv, tsv, parquet, txt or md file, or `demo`")
    parser.add_argument("-m", "--model", help="count tokens as this model does (the setting `model` if absent)")
    parser.add_argument("--max-length", type=int, default=2048, metavar="N", help="longest row in tokens (2048)")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Inspect one file; exit 65 when a launch would refuse it."""
    from backprop_tui.config import paths
    from backprop_tui.config.settings import load_settings
    from backprop_tui.data.chat import ChatTokenizer
    from backprop_tui.data.inspection import inspect_file
    from backprop_tui.data.models import resolve_model

    path = paths.demo_data_file() if args.file == "demo" else Path(args.file).expanduser()
    model = resolve_model(args.model or load_settings().model)
    tokenizer = ChatTokenizer.load(model) if model is not None else None
    inspection = inspect_file(path, tokenizer=tokenizer, max_length=args.max_length)
    facts = inspection.to_dict()
    if args.json:
        out.json(facts)
    else:
        _show(path, facts, out)
    return EXIT_DATA if inspection.verdict == "bad" else EXIT_OK


def _show(path: Path, facts: dict[str, Any], out: Output) -> None:
    for label, text in _facts(path, facts):
        out.line(out.style(f"{label:<12}", "dim") + text)
    for problem in facts["problems"][:_PROBLEMS_SHOWN]:
        where = (
            f"line {words.count(problem['line'])}" if problem.get("line") else f"row {words.count(problem.get('row'))}"
        )
        style: Style = "bad" if problem.get("severity") == "error" else "warn"
        out.line(
            f"{out.style(f'{where:<12}', style)}{safe_text(problem.get('code'))}: {safe_text(problem.get('cause'))}"
        )
    more = sum(facts["problem_counts"].values()) - len(facts["problems"][:_PROBLEMS_SHOWN])
    if more > 0:
        out.line(out.style(f"… and {words.count(more)} more problems", "dim"))


def _facts(path: Path, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "file", f"{safe_text(path)}  {words.size(facts['bytes'])}"
    yield "verdict", safe_text(facts["headline"])
    yield "rows", f"{words.count(facts['kept'])} kept of {words.count(facts['rows'])}"
    if facts["formats"]:
        yield "format", ", ".join(f"{safe_text(name)} {words.count(n)}" for name, n in facts["formats"].items())
    for reason, lost in facts["dropped"].items():
        yield "left out", f"{words.count(lost)}  {safe_text(reason)}"
    if facts["duplicates"]:
        yield "duplicates", words.count(facts["duplicates"])
    for unit in ("tokens", "characters"):
        lengths = facts[unit]
        if lengths:
            middle = f"median {words.count(lengths['p50'])}, 95 % up to {words.count(lengths['p95'])}"
            yield unit, f"{middle}, longest {words.count(lengths['max'])}, {words.count(lengths['total'])} in all"
    if facts["trained_share"] is not None:
        yield "trained", f"{100 * facts['trained_share']:.0f} % of the tokens"
    if facts["cut_rows"]:
        lost = f"{words.count(facts['cut_tokens'])} tokens lost"
        yield (
            "cut",
            f"{words.count(facts['cut_rows'])} rows longer than {words.count(facts['max_length'])} tokens, {lost}",
        )
