"""`backprop data fingerprint DATA`: what identifies the data, whatever it is called and wherever it lies."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.data.model import add_model, find_model
from backprop_tui.cli.data.options import add_data, add_seed, reader_of
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import find
from backprop_tui.cli.data.report import fact, left_out
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.text import safe_text

_FILES_SHOWN = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_model(parser, "tokenise, and identify tokenizer, template and tokens too", absent="none if absent")
    add_seed(parser)
    parser.epilog = (
        "With -m this is what a run with the default settings stores. `--json > FILE.json` keeps it for\n"
        "`backprop data diff FILE.json DATA`."
    )


def run(args: Namespace, out: Output) -> int:
    """Print the fingerprint."""
    from backprop_tui.data.versions.identify import fingerprint_data
    from backprop_tui.protocol.spec import DataPart

    reader_of(args)
    model = None if args.model is None else find_model(args.model, out)
    data = find(args.data, out)
    part = DataPart.model_validate({"format": args.format, "columns": args.columns, "damaged": "drop"})
    with Progress(out) as progress:
        found = fingerprint_data(
            data,
            part,
            seed=args.seed,
            model_dir=model,
            on_progress=lambda done, total: progress.rows("reading", done, total),
        )
    if out.as_json:
        out.json(found)
        return EXIT_OK
    out.line(str(found["id"]))
    for label, text in _facts(found):
        fact(out, label, text)
    left_out(out, found["dropped"])
    return EXIT_OK


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    described = found["sources"][0]
    files = [file for source in described["sources"] for file in source["files"]]
    for file in files[:_FILES_SHOWN]:
        known = "".join(
            f"  {name} {safe_text(', '.join(str(value) for value in file[name].values()), limit=80)}"
            for name in ("dvc", "git")
            if isinstance(file.get(name), Mapping)
        )
        name, size = safe_text(file["name"], limit=120), words.size(file["bytes"])
        yield "file", f"{name}  {size}  sha256 {safe_text(file['sha256'][:16])}{known}"
    if len(files) > _FILES_SHOWN:
        yield "", f"… and {len(files) - _FILES_SHOWN:,} more files"
    yield "rows", f"{described['usable']:,} usable of {described['rows']:,}  sha256 {described['rows_sha256'][:16]}"
    yield "split", f"{found['train']['rows']:,} to learn from, {found['eval']['rows']:,} held out, seed {found['seed']}"
    if found["tokenizer"]:
        yield "tokens", f"{found['train']['tokens']:,} to learn from, {found['eval']['tokens']:,} held out"
        yield "tokenizer", f"sha256 {found['tokenizer'][:16]}"
        yield "template", f"sha256 {found['template'][:16]}"
