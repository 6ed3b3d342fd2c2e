"""Some runs side by side: their final figures, settings, data, curves. No widget; reading is done in threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from backprop_tui.data.of_runs import data_lines
from backprop_tui.store.differences import Differing, differing
from backprop_tui.store.entry import Entry, entry_of
from backprop_tui.store.explain import Explanation, explain
from backprop_tui.store.journal import JournalTail
from backprop_tui.store.layout import RunDir
from backprop_tui.store.outcomes import OUTCOMES, Outcome, first_outcome
from backprop_tui.store.summary import load_summary

if TYPE_CHECKING:
    from backprop_tui.store.history import History
    from backprop_tui.store.series import SeriesStore
    from backprop_tui.store.stretch import Stretch

#: Curves drawn at most: as many as there are colours.
MOST_CURVES = 8
Cancelled = Callable[[], bool]


@dataclass(slots=True)
class Compared:
    """One run. `letter` names it in tables; `series` is None for runs beyond `MOST_CURVES`; `began` is its first start."""

    run: RunDir
    letter: str
    entry: Entry
    settings: dict[str, Any]
    began: float | None
    series: SeriesStore | None = None
    tail: JournalTail | None = field(default=None, repr=False)
    history: History | None = field(default=None, repr=False)


@dataclass(slots=True)
class Comparison:
    """Runs and what differs between them.

    Attributes:
        reference: index of the run that data is compared with. data: per run the differences of its data from the
            reference's; [] is none, None is not known.
    """

    runs: list[Compared]
    differ: list[Differing]
    reference: int
    data: list[list[str] | None]
    outcome: Outcome
    explained: Explanation

    @property
    def entries(self) -> list[Entry]:
        """The lines of the runs."""
        return [one.entry for one in self.runs]

    @property
    def live(self) -> bool:
        """Whether one of the runs may still change."""
        return any(one.entry.state.live for one in self.runs)

    def explain(self, outcome: Outcome | None = None) -> None:
        """Judge the settings by an outcome, or by the present one once more."""
        self.outcome = outcome or self.outcome
        values = [self.outcome.of(entry) for entry in self.entries]
        self.explained = explain(self.differ, values, low_is_good=self.outcome.good != "high")

    @property
    def next_outcome(self) -> Outcome:
        """The outcome after the present one that two runs have, else the present one."""
        at = OUTCOMES.index(self.outcome)
        for found in (*OUTCOMES[at + 1 :], *OUTCOMES[:at]):
            if found.good is not None and sum(found.of(entry) is not None for entry in self.entries) > 1:
                return found
        return self.outcome


def load_comparison(runs: Sequence[RunDir], cancelled: Cancelled = lambda: False) -> Comparison:
    """Read everything; seconds for long runs that nobody opened before."""
    found: list[Compared] = []
    for at, run in enumerate(runs):
        summary = load_summary(run)
        found.append(Compared(run, letter(at), entry_of(summary), summary.settings, summary.view.started))
    differ = differing([one.settings for one in found])
    outcome = first_outcome([one.entry for one in found])
    comparison = Comparison(found, differ, 0, data_from([one.run for one in found], 0), outcome, Explanation((), "", 0))
    comparison.explain()
    for one in found[:MOST_CURVES]:
        if cancelled():
            break
        _open(one)
        fold(one, _stretches(one, cancelled))
    if cancelled():
        # Nobody will close what nobody gets.
        close(comparison)
    return comparison


#: The line of a run and what its journal gained; None for a run that doesn't change.
New: TypeAlias = "tuple[Entry, list[Stretch]] | None"


def data_from(runs: Sequence[RunDir], reference: int) -> list[list[str] | None]:
    """How the data of each run differs from that of one of them."""
    return [[] if run.id == runs[reference].id else data_lines(runs[reference], run) for run in runs]


def news(comparison: Comparison, cancelled: Cancelled = lambda: False) -> list[New]:
    """What became of the live runs."""
    found: list[New] = []
    for one in comparison.runs:
        if not one.entry.state.live or cancelled():
            found.append(None)
            continue
        entry = entry_of(load_summary(one.run))
        found.append((entry, _stretches(one, cancelled)))
    return found


def take(comparison: Comparison, found: Sequence[New]) -> None:
    """Fold news in; on the loop that draws, because curves must not grow while they are drawn."""
    for one, new in zip(comparison.runs, found, strict=True):
        if new is not None:
            one.entry = new[0]
            fold(one, new[1])
    comparison.explain()


def fold(one: Compared, stretches: Sequence[Stretch]) -> None:
    """Add to the curves of a run."""
    if one.series is None:
        return
    for stretch in stretches:
        for event in stretch.events:
            try:
                one.series.mark(event)
            except (ValueError, TypeError, AttributeError, OverflowError):
                # A payload of another shape, from another version: the rest of the curve still shows.
                continue
        one.series.extend(stretch)


def close(comparison: Comparison) -> None:
    """Let the journals go."""
    for one in comparison.runs:
        if one.history is not None:
            one.history.close()
        if one.tail is not None:
            one.tail.close()


def letter(at: int) -> str:
    """`A` to `Z`, then `AA` and so on."""
    return (letter(at // 26 - 1) if at >= 26 else "") + chr(ord("A") + at % 26)


def _open(one: Compared) -> None:
    from backprop_tui.store.columns import place_of
    from backprop_tui.store.history import History
    from backprop_tui.store.series import SeriesStore

    one.series, one.tail = SeriesStore(), JournalTail(one.run.journal_file)
    one.history = History(one.tail, place_of(one.run.id))


def _stretches(one: Compared, cancelled: Cancelled) -> list[Stretch]:
    found: list[Stretch] = []
    while one.history is not None and not cancelled():
        stretch = one.history.next()
        if stretch is None:
            break
        found.append(stretch)
    return found
