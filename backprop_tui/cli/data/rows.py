"""`backprop data rows DATA`: single rows as the model sees them, with the trained text marked."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.cli.data.model import add_model, find_model
from backprop_tui.cli.data.options import add_data, reader_of, whole
from backprop_tui.cli.data.reading import find
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, DataError
from backprop_tui.protocol.text import safe_block, safe_text

if TYPE_CHECKING:
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.looking.part import How
    from backprop_tui.data.looking.preview import PreviewRow
    from backprop_tui.data.rendering.encoded import Piece

_COUNT = 3
_LONGEST = 2048
#: What stands around trained text where there is no colour; in the text itself they are shown by their numbers.
_MARKS, _ASCII_MARKS = ("⟦", "⟧"), ("[[", "]]")
_NUMBERS = str.maketrans({"⟦": "\\u27e6", "⟧": "\\u27e7"})


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    parser.add_argument("--from", dest="first", type=whole(1), default=1, metavar="N", help="first row, from 1 (1)")
    parser.add_argument("--count", type=whole(1), default=_COUNT, metavar="N", help=f"how many rows ({_COUNT})")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--raw", action="store_true", help="as they stand in the file; needs no model")
    way.add_argument(
        "--tokens", action="store_true", help="token by token: place, id, learnt (+) or not, vocabulary entry"
    )
    add_model(parser, "the model that sees them")
    parser.add_argument(
        "--max-length",
        type=whole(16, 1 << 20),
        default=_LONGEST,
        metavar="N",
        help=f"longest row in tokens ({_LONGEST})",
    )
    parser.epilog = (
        "Trained text is coloured, or stands in ⟦ ⟧ where there is no colour. --json prints an object per row."
    )


def run(args: Namespace, out: Output) -> int:
    """Show some rows."""
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.looking.part import How
    from backprop_tui.data.looking.preview import Preview

    reader_of(args)
    data = find(args.data, out)
    how = How(args.format, args.columns, args.max_length)
    with ExitStack() as stack:
        model = None if args.raw else find_model(args.model, out)
        tokenizer = None if model is None else stack.enter_context(RemoteTokenizer(model))
        preview = Preview(data)
        stack.callback(preview.close)
        shows = _Shows(out, [safe_text(path.name, limit=120) for path in data.files], how, tokenizer, model)
        for index in range(args.first - 1, args.first - 1 + args.count):
            row = preview.view(index, how=how, tokenizer=tokenizer)
            if row is None:
                if index == args.first - 1:
                    raise _beyond(preview.known, args.first)
                break
            shows.row(row, raw=args.raw, tokens=args.tokens)
    return EXIT_OK


def marked(pieces: tuple[Piece, ...], out: Output) -> str:
    """The rendering as a harmless block of lines, trained text marked; what is cut off is not shown."""
    coloured = out.style("x", "good") != "x"
    begin, end = _ASCII_MARKS if out.ascii else _MARKS
    shown = []
    for piece in pieces:
        text = safe_block(piece.text)
        if piece.kind == "cut":
            continue
        if coloured:
            # Line by line, so that a pager that cuts lines keeps the colour.
            style = out.style if piece.trained else _plain
            shown.append("\n".join(style(line, "good") if line else line for line in text.split("\n")))
        else:
            text = text.translate(_NUMBERS)
            shown.append(f"{begin}{text}{end}" if piece.trained else text)
    return "".join(shown)


class _Shows:
    """Shows rows one after the other."""

    def __init__(
        self, out: Output, files: list[str], how: How, tokenizer: RemoteTokenizer | None, model: Path | None
    ) -> None:
        self._out, self._files, self._how, self._tokenizer, self._model = out, files, how, tokenizer, model
        self._vocabulary: Any = None

    def row(self, row: PreviewRow, *, raw: bool, tokens: bool) -> None:
        """One row."""
        table = list(self._tokens(row)) if tokens else None
        if self._out.as_json:
            self._out.json(self._words(row, table))
            return
        self._out.line(self._out.style(self._head(row), "bold"))
        if row.problem is not None:
            problem = row.problem
            self._out.line(self._out.style(safe_text(f"{problem.code}: {problem.cause} {problem.next_step}"), "warn"))
        if table:
            for place, (number, learnt, entry) in enumerate(table):
                line = f"{place:>6}  {number:>7}  {'+' if learnt else ' '}  {safe_text(entry)}"
                self._out.line(self._out.style(line, "good" if learnt else "plain"))
        elif row.pieces is not None and not raw:
            self._out.line(marked(row.pieces, self._out))
        else:
            self._out.line(safe_block(row.raw))
        self._out.line()

    def _head(self, row: PreviewRow) -> str:
        place = f"row {row.index + 1:,}"
        if len(self._files) > 1:
            place += f"  {self._files[row.file]}"
        if row.line is not None:
            place += f"  line {row.line:,}"
        if row.format:
            place += f"  {safe_text(row.format)}"
        if row.tokens is not None:
            place += f"  {row.tokens:,} tokens, {row.trained or 0:,} trained"
        if row.cut:
            place += f", {row.cut:,} more cut off"
        return place

    def _words(self, row: PreviewRow, table: list[tuple[int, bool, str]] | None) -> dict[str, Any]:
        pieces = row.pieces
        return {
            "row": row.index + 1,
            "file": self._files[row.file],
            "line": row.line,
            "format": row.format,
            "raw": row.raw,
            "pieces": None if pieces is None else [{"text": piece.text, "kind": piece.kind} for piece in pieces],
            "tokens": row.tokens,
            "trained": row.trained,
            "cut": row.cut,
            "token_list": None
            if table is None
            else [{"id": number, "trained": learnt, "token": entry} for number, learnt, entry in table],
            "problem": None if row.problem is None else row.problem.to_dict(),
        }

    def _tokens(self, row: PreviewRow) -> Iterator[tuple[int, bool, str]]:
        """Id, whether it is learnt, and the vocabulary's entry of each token."""
        if self._tokenizer is None or self._model is None or row.pieces is None or row.normalised is None:
            return
        if self._vocabulary is None:
            from tokenizers import Tokenizer

            self._vocabulary = Tokenizer.from_file(str(self._model / "tokenizer.json"))
        rendered = self._tokenizer.explain(row.normalised, max_length=self._how.max_length, train_on=self._how.train_on)
        encoded = rendered.encoded
        for number, learnt in zip(encoded.ids, encoded.trained, strict=True):
            yield number, learnt, self._vocabulary.id_to_token(number) or ""


def _plain(text: str, style: str) -> str:
    return text


def _beyond(known: int, first: int) -> DataError:
    return DataError(
        "DATA_ROW_MISSING",
        f"There is no row {first:,}; the data has {known:,}.",
        "Choose an earlier row with --from.",
    )
