"""What an action did, for people and for scripts: rows before, rows left out by reason, rows after, and the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.data.originals import Lines
from backprop_tui.cli.data.reading import Tally
from backprop_tui.cli.output import Output, Style
from backprop_tui.data.finding.places import DataSet
from backprop_tui.protocol.text import safe_text

_LABEL = 12


def fact(out: Output, label: str, text: str, style: Style = "plain") -> None:
    """One labelled line."""
    out.line(out.style(f"{label:<{_LABEL}}", "dim") + out.style(text, style))


def percent(share: float) -> str:
    """A share such as `12 %`; something is never shown as nothing, nor as everything."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{100 * share:.1f} %" if 0.001 <= share <= 0.999 else "< 0.1 %" if share < 0.5 else "> 99.9 %"
    return f"{100 * share:.0f} %"


def rows_of(count: int) -> str:
    """`1 row`, `12 rows`."""
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def left_out(out: Output, dropped: Mapping[str, int]) -> None:
    """A line for each reason, the commonest first."""
    for reason, count in sorted(dropped.items(), key=lambda entry: -entry[1]):
        fact(out, "left out", f"{count:,}  {safe_text(reason)}", "warn")


def tell(
    out: Output,
    action: str,
    data: DataSet,
    tally: Tally,
    results: Mapping[str, Lines],
    more: Mapping[str, Any] | None = None,
    facts: Iterable[tuple[str, str]] = (),
) -> None:
    """Say what an action did.

    Args:
        out: where to.
        action: its name.
        data: what was read.
        tally: what became of the rows.
        results: the results by what they are called.
        more: further words for JSON.
        facts: the same as labelled lines.
    """
    if out.as_json:
        files = {name: lines.to_dict() for name, lines in results.items()}
        out.json({"action": action, "data": safe_text(data.words), **tally.to_dict(), **(more or {}), **files})
        return
    for label, text in facts:
        fact(out, label, text)
    fact(out, "rows", f"{tally.rows:,} read")
    left_out(out, tally.dropped)
    fact(out, "kept", f"{tally.kept:,}", "bold")
    for name, lines in results.items():
        fact(out, name.replace("_", " "), result_words(lines))
    if all(lines.path is None for lines in results.values()):
        out.say("Nothing was written; -o OUT writes the rows.")


def result_words(lines: Lines) -> str:
    """What is in a result, and where it is."""
    if lines.path is None:
        return rows_of(lines.rows)
    size = words.size(lines.path.stat().st_size)
    return f"{rows_of(lines.rows)} in {safe_text(lines.path)}  {size}"
