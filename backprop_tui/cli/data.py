"""`backprop data inspect FILE`: what a data file holds and what a model would make of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
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
    """Inspect one file; exit 65 when nothing in it can be trained on."""
    from backprop_tui.config import paths
    from backprop_tui.config.settings import load_settings
    from backprop_tui.data.chat import ChatTokenizer
    from backprop_tui.data.inspection import inspect_file
    from backprop_tui.data.models import resolve_model

    path = paths.demo_data_file() if args.file == "demo" else Path(args.file).expanduser()
    model = resolve_model(args.model or load_settings().model, None)
    tokenizer = ChatTokenizer.load(model) if isinstance(model, Path) else None
    inspection = inspect_file(path, tokenizer=tokenizer, max_length=args.max_length)
    facts = inspection.to_dict()
    if args.json:
        out.json(facts)
    else:
        _show(path, facts, out)
    return EXIT_OK if inspection.kept else EXIT_DATA


def _show(path: Path, facts: dict[str, Any], out: Output) -> None:
    out.line(str(facts) + safe_text(path) + words.UNKNOWN)
