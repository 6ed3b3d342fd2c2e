"""`backprop data columns DATA`: the columns there are, how many rows fill them, and what they could be mapped to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from backprop_tui.cli.data.options import add_data, reader_of
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import DAMAGED, Tally, counted_rows, find, unchanged
from backprop_tui.cli.data.report import fact, left_out, percent
from backprop_tui.cli.output import Output
from backprop_tui.data.finding.places import DataSet
from backprop_tui.protocol.errors import EXIT_OK, DataError
from backprop_tui.protocol.text import safe_text

#: Columns told apart; a file that makes up a name for each row has no columns worth a list.
MOST = 500
_EXAMPLE = 60
_PROPOSED_FROM = 200
_KINDS = {str: "text", bool: "true/false", int: "number", float: "number", list: "list", dict: "object"}


@dataclass(slots=True)
class Column:
    """One column: rows that fill it, rows by kind of value, and the first value as harmless text."""

    filled: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    example: str = ""


@dataclass(slots=True)
class Columns:
    """The columns of a set.

    Args:
        tally: rows read, and those that have no columns.
        columns: by name, in the order they first came. more: whether there are more than `MOST`.
        formats: rows by detected format, empty for none. suggested: mappings by how many rows they were proposed for.
    """

    tally: Tally = field(default_factory=Tally)
    columns: dict[str, Column] = field(default_factory=dict)
    more: bool = False
    formats: Counter[str] = field(default_factory=Counter)
    suggested: Counter[str] = field(default_factory=Counter)

    @property
    def mapping(self) -> str:
        """The mapping proposed most often; empty when there is none."""
        return self.suggested.most_common(1)[0][0] if self.suggested else ""

    def add(self, value: Any) -> None:
        """One more row."""
        if not isinstance(value, dict):
            self.tally.drop("no columns")
            return
        for name, cell in value.items():
            column = self.columns.get(name)
            if column is None:
                if len(self.columns) == MOST:
                    self.more = True
                    continue
                column = self.columns[name] = Column()
            if cell is None or cell == "" or cell != cell:
                continue
            column.filled += 1
            column.kinds[_KINDS.get(type(cell), "other")] += 1
            if not column.example:
                column.example = safe_text(_shown(cell), limit=_EXAMPLE)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    parser.epilog = "The mapping goes into --columns here, and into columns= of a run."


def run(args: Namespace, out: Output) -> int:
    """List the columns."""
    reader_of(args)
    data = find(args.data, out)
    found = look(data, out)
    if args.columns:
        from backprop_tui.data.formats import parse_columns

        parse_columns(args.columns).check(found.columns)
    if out.as_json:
        out.json(_words(data, found))
    else:
        _show(found, out)
    return EXIT_OK


def look(data: DataSet, out: Output) -> Columns:
    """Read all rows and gather their columns.

    Raises:
        DataError: a file can't be read as a whole, or DATA_NO_COLUMNS.
    """
    from backprop_tui.data.formats import detect, suggest_columns

    found = Columns()
    with unchanged(data), Progress(out) as progress:
        for row in counted_rows(data, found.tally, progress):
            if row.problem is not None and row.problem.severity == "error":
                found.tally.drop(DAMAGED, row.problem)
                continue
            found.add(row.value)
            if row.index < _PROPOSED_FROM and isinstance(row.value, dict):
                found.formats[detect(row.value) or ""] += 1
                if proposed := suggest_columns(row.value):
                    found.suggested[proposed] += 1
    if not found.columns:
        raise DataError(
            "DATA_NO_COLUMNS",
            f"No row of {safe_text(data.words)} has columns.",
            "`backprop data inspect` says what its rows are.",
        )
    return found


def _words(data: DataSet, found: Columns) -> dict[str, Any]:
    rows = max(1, found.tally.kept)
    return {
        "action": "columns",
        "data": safe_text(data.words),
        **found.tally.to_dict(),
        "columns": [
            {
                "name": name,
                "filled": column.filled,
                "share": column.filled / rows,
                "kinds": dict(column.kinds.most_common()),
                "example": column.example,
            }
            for name, column in found.columns.items()
        ],
        "complete": not found.more,
        "formats": {name: count for name, count in found.formats.most_common() if name},
        "mapping": found.mapping,
    }


def _show(found: Columns, out: Output) -> None:
    rows = max(1, found.tally.kept)
    cells = [
        (safe_text(name, limit=40), percent(column.filled / rows), "/".join(column.kinds) or "–", column.example)
        for name, column in found.columns.items()
    ]
    out.table(("column", "filled", "holds", "example"), cells, right=(1,), flexible=3)
    if found.more:
        out.line(out.style(f"… and more than {MOST} others", "dim"))
    out.line()
    fact(out, "rows", f"{found.tally.rows:,} read")
    left_out(out, found.tally.dropped)
    known = [safe_text(name) for name, _ in found.formats.most_common() if name]
    fact(out, "format", ", ".join(known) or "none that is known")
    fact(out, "mapping", safe_text(found.mapping) or "–")


def _shown(cell: Any) -> str:
    if isinstance(cell, str):
        return cell[: 2 * _EXAMPLE]
    import json

    try:
        return json.dumps(cell, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return str(type(cell).__name__)
