"""`backprop data score DATA -m MODEL -o OUT`: add to each row how well a model predicts it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from backprop_tui.cli.data.model import add_model
from backprop_tui.cli.data.options import add_data, add_out, out_path, reader_of, whole
from backprop_tui.cli.data.originals import as_json, lines_to
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, find_once, unchanged
from backprop_tui.cli.data.report import rows_of, tell
from backprop_tui.cli.output import Output
from backprop_tui.protocol.codec import finite
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.launch.scores import Scores

_LONGEST = 2048
_BATCH = 8
#: What is added to each row.
ADDED = ("perplexity", "nll", "tokens")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_out(parser)
    add_model(parser, "the model that predicts")
    parser.add_argument(
        "--max-length",
        type=whole(16, 1 << 20),
        default=_LONGEST,
        metavar="N",
        help=f"longest row in tokens ({_LONGEST})",
    )
    parser.add_argument(
        "--what", choices=["answers", "everything"], default="answers", help="which tokens count (answers)"
    )
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto", help="where the model runs (auto)")
    parser.add_argument(
        "--batch-size", type=whole(1, 4096), default=_BATCH, metavar="N", help=f"rows per forward pass ({_BATCH})"
    )
    parser.epilog = (
        "Each row keeps its columns and gets perplexity, nll (mean negative log-likelihood in nats) and tokens (how many\n"
        "count); they are null where a row can't be scored. Then `backprop data filter … --percentile perplexity 5 95`\n"
        "leaves out the extremes, and `backprop data sort … --by perplexity` orders them. Needs the extra [train]."
    )


def run(args: Namespace, out: Output) -> int:
    """Score."""
    from backprop_tui.config.settings import load_settings
    from backprop_tui.launch.scoring import score_data
    from backprop_tui.protocol.spec import DataPart

    reader_of(args)
    data, tally = find_once(args.data, out), Tally()
    part = DataPart.model_validate({"format": args.format, "columns": args.columns, "damaged": "drop"})
    with (
        lines_to(out_path(args), data, force=args.force) as lines,
        unchanged(data),
        Progress(out) as progress,
    ):
        scores = score_data(
            data,
            args.model or load_settings().model,
            part=part,
            max_length=args.max_length,
            what=args.what,
            device=args.device,
            batch_size=args.batch_size,
            on_progress=progress.rows,
        )
        tally.rows, tally.dropped = scores.rows, Counter(scores.dropped)
        replaced = 0
        for value, taken in _scored(data, scores):
            replaced += taken
            lines.add(b"" if lines.counting else as_json(value))
    tell(out, "score", data, tally, {"out": lines}, {"scores": scores.to_dict()}, _facts(scores))
    for note in scores.notes:
        out.say(safe_text(note))
    if replaced:
        out.say(f"{rows_of(replaced)} had a column called {', '.join(ADDED[:2])} or {ADDED[2]}, which is replaced.")
    return EXIT_OK


def _scored(data: DataSet, scores: Scores) -> Iterator[tuple[dict[str, Any], bool]]:
    """The usable rows with their scores, and whether that replaces a column."""
    from backprop_tui.data.finding.places import read_set

    found = {score.place: score for score in scores}
    usable = set(scores.places)
    for row in read_set(data):
        if row.index not in usable:
            continue
        value = row.value if isinstance(row.value, dict) else {"text": row.value}
        score = found.get(row.index)
        figures = (None, None, None) if score is None else (score.perplexity, score.nll, score.tokens)
        yield {**value, **finite(dict(zip(ADDED, figures, strict=True)))}, not value.keys().isdisjoint(ADDED)


def _facts(scores: Scores) -> Iterator[tuple[str, str]]:
    figure = "–" if scores.perplexity is None else f"{scores.perplexity:.4g}"
    yield "perplexity", f"{figure} over all tokens that count, on {scores.device} in {scores.dtype}"
    for reason, count in Counter(scores.unscored.values()).most_common():
        yield "no score", f"{count:,}  {safe_text(reason)}"
    if scores.cut_rows:
        yield "cut", f"{rows_of(scores.cut_rows)} scored without their end"
