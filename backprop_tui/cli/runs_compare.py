"""`backprop runs compare RUN RUN …`: final figures, settings that differ, data that differs, and what explains it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.differences import ABSENT, Differing, differing
from backprop_tui.store.entry import Entry, entry_of
from backprop_tui.store.explain import Explanation, explain
from backprop_tui.store.layout import find_run
from backprop_tui.store.outcomes import OUTCOMES, Outcome, first_outcome
from backprop_tui.store.summary import load_summary


def compare(args: Namespace, fits: list[Entry] | None, out: Output) -> int:
    """Compare the runs named, or those that fit `--where`.

    Raises:
        UsageError: fewer than two runs.
    """
    wanted = [entry.id for entry in fits] if fits is not None else args.run
    runs = list({run.id: run for run in (find_run(name) for name in wanted)}.values())
    if len(runs) < 2:
        raise UsageError("COMPARE_NEEDS_TWO", "Comparing takes at least two runs.", "Name another, or widen --where.")
    from backprop_tui.data.of_runs import data_lines

    summaries = [load_summary(run) for run in runs]
    entries = [entry_of(summary) for summary in summaries]
    differ = differing([summary.settings for summary in summaries])
    about = first_outcome(entries)
    found = explain(differ, [about.of(entry) for entry in entries], low_is_good=about.good != "high")
    data = [data_lines(runs[0], run) for run in runs[1:]]
    if args.json:
        out.json(_to_dict(entries, differ, about, found, data))
        return EXIT_OK
    _print(entries, differ, about, found, data, out)
    return EXIT_OK


def _to_dict(
    entries: list[Entry], differ: list[Differing], about: Outcome, found: Explanation, data: list[list[str] | None]
) -> dict[str, Any]:
    return {
        "runs": [
            {"id": entry.id, "title": entry.title, "state": entry.state.value, **{o.name: o.of(entry) for o in OUTCOMES}}
            for entry in entries
        ],
        "settings": {one.key: [None if value is ABSENT else value for value in one.values] for one in differ},
        "data": [{"from": entries[0].id, "to": entry.id, "differences": lines}
                 for entry, lines in zip(entries[1:], data, strict=True)],
        "explained": {"outcome": about.name, **found.to_dict()},
    }  # fmt: skip


def _print(
    entries: list[Entry], differ: list[Differing], about: Outcome, found: Explanation, data: list[list[str] | None],
    out: Output,
) -> None:  # fmt: skip
    titles = [outcome.title for outcome in OUTCOMES]
    rows = [
        [entry.short_id, safe_text(entry.title, limit=40), *(_figure(o, entry) for o in OUTCOMES)] for entry in entries
    ]
    out.table(["id", "name", *titles], rows, right=range(2, 2 + len(titles)), flexible=1)
    out.line()
    if differ:
        head = ["setting", *(entry.short_id for entry in entries)]
        out.table(head, [[one.key, *(_value(value) for value in one.values)] for one in differ], flexible=0)
    else:
        out.line("All settings are the same.")
    out.line()
    for entry, lines in zip(entries[1:], data, strict=True):
        said = ["not known: one of them didn't note its data"] if lines is None else lines or ["the same"]
        for line in said:
            out.line(f"data of {entry.short_id} against {entries[0].short_id}: {line}")
    out.line()
    out.line(f"{about.title}: {safe_text(found.sentence)}")
    for factor in found.factors:
        out.line(f"  {factor.strength:.2f}  {' + '.join(factor.keys)}  {factor.verdict}")


def _figure(about: Outcome, entry: Entry) -> str:
    value = about.of(entry)
    if about.unit == "loss":
        return words.loss(value)
    if about.unit == "seconds":
        return words.duration(value)
    if about.unit == "share":
        return words.UNKNOWN if value is None else f"{100 * value:.0f} %"
    return words.count(value) + (" Wh" if about.unit == "wh" and value is not None else "")


def _value(value: Any) -> str:
    return words.UNKNOWN if value is ABSENT else safe_text("(empty)" if value in (None, "") else value, limit=30)
