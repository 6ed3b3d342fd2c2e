"""One-key fixes: repeated rows, damaged rows, the mapping of columns, and the list of rows in a JSON file.

Each changes a setting of the draft, says what it makes of the rows, and is taken back with `u` on Tune.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.data_checks import SEVERAL_LISTS
from backprop_tui.app.screens.data_mapping import MappingModal
from backprop_tui.app.screens.data_row import RowSide
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.app.scans import Counted
    from backprop_tui.protocol.spec import DataPart

_DUPLICATES = {"keep": "exact", "exact": "near", "near": "keep"}
_MOST_LISTS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What is counted: a dataset, its settings before and after, and the seed."""

    words: str
    before: DataPart | None
    after: DataPart
    purpose: str
    seed: int


def counted_words(counted: Counted, dot: str) -> str:
    """Rows after each step, as `1,000 rows read · 950 usable · 931 to train on, 19 held out`."""
    steps = counted.steps
    words = [f"{wording.rows(steps['read'])} read", f"{steps['usable']:,} usable"]
    if steps["sampled"] != steps["usable"]:
        words.append(f"{steps['sampled']:,} sampled")
    words.append(f"{steps['left to train on']:,} to train on, {counted.held:,} held out")
    if steps["with repeats"] != steps["left to train on"]:
        words.append(f"{steps['with repeats']:,} with repeats")
    return f" {dot} ".join(words)


def change_words(before: Counted | None, after: Counted) -> str:
    """What a change does: `1,000 → 950 usable rows`, or what it does to a later step."""
    if before is None:
        return f"{after.steps['usable']:,} usable rows"
    for step, noun in (
        ("usable", "usable rows"), ("sampled", "rows sampled"), ("left to train on", "rows to train on"),
        ("with repeats", "rows with repeats"),
    ):  # fmt: skip
        if before.steps[step] != after.steps[step]:
            return f"{before.steps[step]:,} → {after.steps[step]:,} {noun}"
    return f"{after.steps['usable']:,} usable rows as before"


class FixSide(RowSide):
    """Changes settings of the data and says what becomes of the rows."""

    def change(self, changes: Mapping[str, Any], said: str) -> bool:
        """Set settings of the draft, and count before and after for the dataset under the cursor.

        Args:
            changes: values by key.
            said: what it is, for the footer.

        Returns:
            False when a value will not do; that is said, and nothing changes.
        """
        words = self.here
        try:
            before = self.draft.part(words)
            self.draft.set_all(changes)
            after = self.draft.part(words)
        except BackpropError as error:
            self.complain(error)
            return False
        self._counted.clear()
        self.backprop.say(f"{said}.  u on Tune takes it back.", "good")
        if "damaged" in changes or "format" in changes:
            self.read_anew()
        self.show_look()
        if words is not None:
            self._count(words, before, after, said)
        return True

    def read_anew(self) -> None:
        """Rows are read another way: forget what was found, and look again, the dataset under the cursor first."""
        self._looks.forget()
        self.show_list()
        self.open_again()
        self.look_here()

    def asked(self, words: str, before: DataPart | None, after: DataPart, seed: int | None = None) -> Asked:
        """A question for `count_rows`; without a seed by the draft's."""
        look = self._looks.found(words)
        seed = self.draft.spec().optim.seed if seed is None else seed
        return Asked(words, before, after, look.purpose if look is not None else "", seed)

    def count_rows(self, asked: Asked, cancelled: Cancelled) -> tuple[Counted | None, Counted]:
        """Rows before and after a change; called in a thread.

        Raises:
            BackpropError: the data can't be used with the settings after the change.
        """
        before = None
        if asked.before is not None and asked.before != asked.after:
            try:
                before = self.draft.scans.count(asked.before, asked.purpose, asked.seed, cancelled)
            except BackpropError:
                before = None
        return before, self.draft.scans.count(asked.after, asked.purpose, asked.seed, cancelled)

    def _count(self, words: str, before: DataPart | None, after: DataPart, said: str) -> None:
        asked = self.asked(words, before, after)

        def done(found: tuple[Counted | None, Counted]) -> None:
            self._counted[words] = ("ok", counted_words(found[1], "·"))
            self.backprop.say(f"{said}: {change_words(*found)}.  u on Tune takes it back.", "good")
            self.show_look()

        def failed(error: BackpropError) -> None:
            self._counted[words] = ("bad", f"{error.cause} ({error.code})")
            self.complain(error)
            self.show_look()

        self._job = in_thread(
            self, lambda cancelled: self.count_rows(asked, cancelled), done, failed, group="data-count"
        )

    def action_dedupe(self) -> None:
        """Keep repeated rows, drop exact ones, drop near ones too."""
        now = str(self.draft.overrides.get("duplicates", "keep"))
        wanted = _DUPLICATES.get(now, "exact")
        said = {
            "keep": "Repeated rows are kept",
            "exact": "Repeated rows are dropped",
            "near": "Repeated and nearly repeated rows are dropped",
        }[wanted]
        self.change({"duplicates": wanted}, said)

    def action_damaged(self) -> None:
        """Refuse data with damaged rows, or drop them."""
        drops = self.draft.overrides.get("damaged") == "drop"
        said = "Data with damaged rows is refused" if drops else "Damaged rows are dropped and counted"
        self.change({"damaged": "refuse" if drops else "drop"}, said)

    def action_mapping(self) -> None:
        """Say which column is what, seen on the row that is shown; or which list of a JSON file holds the rows."""
        words = self.here
        if words is None:
            self.backprop.say("Put the cursor on a dataset first.")
            return
        look = self._looks.get(words)
        if not isinstance(look, BackpropError) and self._refused is not None and self._refused[0] == words:
            # The row's panel knows before the file has been looked through.
            look = self._refused[1]
        if isinstance(look, BackpropError) and look.code == SEVERAL_LISTS:
            self.choose_list(words, look)
            return
        page = self._page
        if page is None or self._opened is None or self._opened.words != words:
            self.backprop.say("Wait until a row has been read.")
            return
        if not isinstance(page.value, dict):
            self.backprop.say("This row has no columns to map.")
            return

        def answered(columns: str | None) -> None:
            if columns is None or columns == self.draft.columns_of(words):
                return
            try:
                self.draft.map_columns(words, columns)
            except BackpropError as error:
                self.complain(error)
                return
            self._counted.pop(words, None)
            self._looks.forget(words)
            self.show_list()
            self.open_again()
            self._looks.look(words)
            self.backprop.say("The mapping is set." if columns else "Columns go by their names again.", "good")

        value, now = page.value, self.draft.columns_of(words)
        self.app.push_screen(MappingModal(value, now, page.reading.format), answered)

    def choose_list(self, words: str, error: BackpropError) -> None:
        """Offer the lists of a JSON file; the one chosen is opened as a dataset of its own."""
        named = [str(one) for one in error.detail.get("words", [])]
        fields = list(dict.fromkeys(one.rpartition("#")[2] for one in named))[:_MOST_LISTS]
        choices = [Choice(field, safe_text(field, limit=80)) for field in fields if field]

        def answered(field: str | None) -> None:
            if field is not None:
                self.add_to_list(f"{words}#{field}")

        body = Content(safe_text(error.cause, limit=600))
        self.app.push_screen(
            ConfirmModal(Content("Which list holds the rows"), body, choices, fields[0] if fields else None), answered
        )
