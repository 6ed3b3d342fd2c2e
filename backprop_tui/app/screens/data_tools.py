"""The tools menu of the Data screen: filter, duplicates, split, sample, order; conversion and scoring are next door.

Each says what becomes of the rows before it is taken, changes the draft, and is taken back with `u` on Tune.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from textual.content import Content

from backprop_tui.app.jobs import Cancelled
from backprop_tui.app.screens.data_checks import recipe_words
from backprop_tui.app.screens.data_count import Count, CountModal
from backprop_tui.app.screens.data_fixes import change_words
from backprop_tui.app.screens.data_write import WriteSide
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

_FILTER = (
    "Rows stay for which this holds, such as  turns >= 2 and answer_chars > 20.  Known: chars, words, turns, answers, "
    "user_chars, answer_chars, shortest_answer, has_system, has_tools, has_reasoning, text, user, answer; a column by "
    "its name.  Empty keeps every row."
)
_COLUMN = "\0column"


class ToolSide(WriteSide):
    """The menu and what it asks."""

    def action_tools(self) -> None:
        """Offer the tools, each with what is set."""
        words = self.here
        if words is None:
            self.backprop.say("Put the cursor on a dataset first.")
            return
        try:
            part, seed = self.draft.part(words), self.draft.spec().optim.seed
        except BackpropError as error:
            self.complain(error)
            return
        near = f" from {part.near_threshold:g}" if part.duplicates == "near" else ""
        graded = f" by {safe_text(part.difficulty, limit=30)}" if part.order == "curriculum" else ""
        group = f" by {safe_text(part.group_by, limit=30)}" if part.group_by else ""
        entries: tuple[tuple[str, str, str, str, Callable[[], None]], ...] = (
            ("f", "filter", "Filter…", safe_text(part.filter, limit=40) or "all rows", self._ask_filter),
            ("d", "duplicates", "Duplicates…", f"{part.duplicates}{near}", self._ask_duplicates),
            ("s", "split", "Split…", f"{part.eval_split:.3g} held out{group}, seed {seed}", self._ask_split),
            ("l", "limit", "Sample…", f"{part.max_rows:,} rows" if part.max_rows else "all rows", self._ask_limit),
            ("o", "order", "Order…", f"{part.order}{graded}", self._ask_order),
            ("c", "convert", "Convert and write…", "to a file", lambda: self.ask_convert(words)),
            ("p", "score", "Score with a model…", "perplexity of each row", lambda: self.ask_score(words)),
        )
        choices = [Choice(name, f"{title:<20} {now}", key) for key, name, title, now, _ in entries]
        ways = {name: ask for _, name, _, _, ask in entries}
        recipe = recipe_words(self.settings(words), "·")
        body = Content(f"Set: {recipe}" if recipe else "Nothing is set; every usable row is used.")
        self.app.push_screen(
            ConfirmModal(Content("Tools"), body, choices, "filter", cancel="Leave it"),
            lambda name: ways[name]() if name is not None else None,
        )

    # -- one setting each ---------------------------------------------------------------------------------------------

    def _ask_filter(self) -> None:
        def check(text: str) -> None:
            from backprop_tui.data.tools.expression import compile_filter

            # Rows of one file may differ in their columns, so only names near to a known fact are refused.
            compile_filter(text)

        self._ask_value("Filter rows", _FILTER, "filter", check=check, said="The filter is set")

    def _ask_duplicates(self) -> None:
        now = str(self.draft.overrides.get("duplicates", "keep"))
        choices = [
            Choice("keep", "keep all rows", "k"),
            Choice("exact", "drop rows whose content occurred before", "e"),
            Choice("near", "drop rows that are nearly the same as an earlier one, too…", "n"),
        ]

        def answered(answer: str | None) -> None:
            if answer == "near":
                help_words = (
                    "Similarity (Jaccard, of runs of five characters) from which rows count as nearly the same."
                )
                self._ask_value(
                    "Nearly the same", help_words, "near_threshold", beside={"duplicates": "near"},
                    said="Repeated and nearly repeated rows are dropped",
                )  # fmt: skip
            elif answer is not None:
                said = "Repeated rows are kept" if answer == "keep" else "Repeated rows are dropped"
                self.change({"duplicates": answer}, said)

        body = Content("What becomes of rows that repeat an earlier one.")
        self.app.push_screen(ConfirmModal(Content("Duplicates"), body, choices, now, cancel="Leave it"), answered)

    def _ask_split(self) -> None:
        choices = [
            Choice("eval_split", "Share of rows held out…", "s"),
            Choice("group_by", "Column whose rows stay on one side…", "g"),
            Choice("seed", "Seed…", "r"),
        ]
        ways = {
            "eval_split": ("Held-out share", "Share of the rows to measure on, 0 to 0.5; 5% is understood.", "The split is set"),
            "group_by": (
                "Split by",
                "A column such as user_id: rows that agree in it stay on one side.  Empty splits row by row.",
                "The split goes by that column",
            ),
            "seed": ("Seed", "The same seed and rows give the same split, sample and order.", "The seed is set"),
        }  # fmt: skip

        def answered(key: str | None) -> None:
            if key is not None:
                title, help_words, said = ways[key]
                self._ask_value(title, help_words, key, said=said)

        body = Content("Rows of the same content are always on the same side.")
        self.app.push_screen(ConfirmModal(Content("Split"), body, choices, "eval_split", cancel="Leave it"), answered)

    def _ask_limit(self) -> None:
        self._ask_value(
            "Sample", "Use this many rows, drawn by the seed.  0 is all.", "max_rows", said="The limit is set"
        )

    def _ask_order(self) -> None:
        choices = [
            Choice("shuffled", "shuffled by the seed", "s"),
            Choice("file", "as in the file", "f"),
            Choice("curriculum", "from easy to difficult…", "c"),
        ]

        def answered(answer: str | None) -> None:
            if answer == "curriculum":
                self._ask_difficulty()
            elif answer is not None:
                said = "Rows are shuffled" if answer == "shuffled" else "Rows come as in the file"
                self.change({"order": answer}, said)

        now = str(self.draft.overrides.get("order", "shuffled"))
        body = Content("The order in which rows are trained on.")
        self.app.push_screen(ConfirmModal(Content("Order"), body, choices, now, cancel="Leave it"), answered)

    def _ask_difficulty(self) -> None:
        choices = [
            Choice("length", "length: how long a row is", "l"),
            Choice("words", "words: how many different and long words it has", "w"),
            Choice(_COLUMN, "a column of numbers…", "c"),
        ]

        def answered(answer: str | None) -> None:
            if answer == _COLUMN:
                self._ask_value(
                    "Difficulty", "A column of numbers; small is easy.", "difficulty", beside={"order": "curriculum"},
                    said="Rows go from easy to difficult",
                )  # fmt: skip
            elif answer is not None:
                self.change({"order": "curriculum", "difficulty": answer}, "Rows go from easy to difficult")

        body = Content("What difficulty goes by.")
        self.app.push_screen(ConfirmModal(Content("Curriculum"), body, choices, "length", cancel="Leave it"), answered)

    def _ask_value(
        self,
        title: str,
        help_words: str,
        key: str,
        *,
        said: str,
        beside: Mapping[str, Any] | None = None,
        check: Callable[[str], None] | None = None,
    ) -> None:
        """Ask for one setting, counting what it would do, and take it with what belongs to it."""
        words = self.here
        if words is None:
            return
        from backprop_tui.protocol.fields import find_setting, with_overrides

        spec, before = self.draft.spec(), self.draft.part(words)
        now = find_setting(key).get(spec)

        def prepare(text: str) -> Count | None:
            if check is not None:
                check(text)
            wanted = with_overrides(spec, {**(beside or {}), key: text})
            update = {"path": before.path, "columns": before.columns}
            asked = self.asked(words, before, wanted.data.model_copy(update=update), wanted.optim.seed)

            def count(cancelled: Cancelled) -> str:
                return change_words(*self.count_rows(asked, cancelled))

            return count

        def answered(text: str | None) -> None:
            if text is not None:
                self.change({**(beside or {}), key: text}, said)

        self.app.push_screen(CountModal(Content(title), Content(help_words), str(now), prepare), answered)
