"""Writing from the Data screen: rows converted to another format, and rows kept by how well a model predicts them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.data_fixes import FixSide
from backprop_tui.app.screens.data_words import home_words
from backprop_tui.app.widgets.modal import Choice, ConfirmModal, PromptModal
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.formats import Conversation, Normalised
    from backprop_tui.data.writers import Target, Written
    from backprop_tui.launch.scores import Scores
    from backprop_tui.protocol.spec import DataPart

_TARGETS = {
    "messages": "messages, as OpenAI and most trainers take them", "sharegpt": "sharegpt, from and value",
    "alpaca": "alpaca, instruction and output", "prompt-completion": "prompt and completion",
    "chatml": "one text a row with ChatML's marks", "text": "one text a row, by the model's chat template",
    "native": "each row as its kind is usually written",
}  # fmt: skip
_EVERY = 5000


class WriteSide(FixSide):
    """Asks where to, writes in a thread, and says what became of the rows."""

    # -- conversion ---------------------------------------------------------------------------------------------------

    def ask_convert(self, words: str) -> None:
        """Ask for a target and a file, and write the rows that the settings leave."""
        body = Content("The rows that filter, duplicates, limit and weights leave, in the order of the files.")
        choices = [Choice(name, f"{title}") for name, title in _TARGETS.items()]

        def chosen(to: str | None) -> None:
            if to is not None:
                self._ask_file(words, f"as {to}", to, lambda out: self._convert(words, to, out))

        self.app.push_screen(ConfirmModal(Content("Write as"), body, choices, "messages", cancel="Leave it"), chosen)

    def _ask_file(self, words: str, what: str, to: str, then: Callable[[Path], None]) -> None:
        def check(text: str) -> str | None:
            from backprop_tui.data.writers.sinks import kind_of_file

            if not text:
                return "Type a path, or press Esc."
            place = Path(os.path.abspath(os.path.expanduser(text)))
            try:
                kind_of_file(place, cast("Target", to))
            except BackpropError as error:
                return f"{error.cause} {error.next_step}"
            if place.exists():
                return "There is a file of that name already; choose another."
            return None if place.parent.is_dir() else "There is no such folder."

        def answered(text: str | None) -> None:
            if text is not None:
                then(Path(os.path.abspath(os.path.expanduser(text))))

        first = words.split(" + ")[0] if wording.is_mix(words) else words
        stem = Path(first.partition("#")[0]).name.split(".")[0] or "data"
        folder = Path(first).parent if first.startswith("/") else Path.cwd()
        value = f"{home_words(folder)}/{safe_text(stem, limit=60)}-{to}.jsonl".replace("//", "/")
        body = Content(f"Write the rows {what}.  .jsonl, .csv, .parquet, or .jsonl.gz; nothing is written over.")
        self.app.push_screen(PromptModal(Content("Write to"), body, value=value, check=check), answered)

    def _convert(self, words: str, to: str, out: Path) -> None:
        part = self.draft.part(words).model_copy(update={"eval_split": 0.0, "eval_path": None, "order": "file"})
        look, seed = self._looks.found(words), self.draft.spec().optim.seed
        purpose = look.purpose if look is not None else ""
        model = self.draft.reading(words).model

        def work(cancelled: Cancelled) -> Written:
            from backprop_tui.data.writers import write_rows

            data = self.draft.scans.resolve(words)
            rows = self._rows_left(part, purpose, seed, cancelled)
            tokenizer = self.draft.scans.tokenizer(model, "bulk") if to == "text" else None

            def rendered(row: Conversation) -> str:
                assert tokenizer is not None
                return tokenizer.explain(row, max_length=None).text

            return write_rows(
                rows, out, cast("Target", to), inputs=data.files, render=rendered if tokenizer is not None else None
            )

        self.backprop.say(f"Writing {out.name}…  Esc stops.")
        self._job = in_thread(self, work, self._written, self.complain, group="data-write")

    def _rows_left(self, part: DataPart, purpose: str, seed: int, cancelled: Cancelled) -> Iterator[Normalised]:
        """The rows that settings leave, in the order of the files, each as often as its weight says."""
        from backprop_tui.data.selection import rows_at, select

        found = self.draft.scans.scan(part, purpose, cancelled)
        times = Counter(select(found, part, seed, split=False).train)
        for number, (place, row) in enumerate(rows_at(found.data, part, set(times))):
            if number % _EVERY == 0:
                if cancelled():
                    raise InterruptedError
                self.call_later(self.backprop.say, f"Writing, {number:,} of {len(times):,} rows.  Esc stops.")
            for _ in range(times[place]):
                yield row

    def _written(self, written: Written) -> None:
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in written.skipped.items())
        words = f"Wrote {wording.rows(written.rows)} to {home_words(written.path)} ({wording.size(written.bytes)})"
        tail = f"; left out: {skipped}" if skipped else ""
        self.backprop.say(f"{words}{tail}.", "warn" if skipped else "good")
        self.list_again()

    # -- scoring ------------------------------------------------------------------------------------------------------

    def ask_score(self, words: str) -> None:
        """Score every row with a model of this machine, where the train extra is installed."""

        def work(cancelled: Cancelled) -> None:
            from backprop_tui.hardware.extras import require

            require("train")

        def ask(_: None) -> None:
            body = Content(
                "How well a model predicts each row's answers, as perplexity.  demo, a folder, or a hub id that is on "
                "this machine.  Rows at either end can then be left out."
            )
            modal = PromptModal(
                Content("Score rows with"), body, value=self.draft.model, check=lambda text: None if text else "Type a model."
            )  # fmt: skip
            self.app.push_screen(modal, lambda model: self._score(words, model) if model is not None else None)

        in_thread(self, work, ask, self.complain, group="data-extra")

    def _score(self, words: str, model: str) -> None:
        part = self.draft.part(words)
        place = os.path.expanduser(model)
        model = os.path.abspath(place) if model != "demo" and os.path.isdir(place) else model

        def work(cancelled: Cancelled) -> Scores:
            from backprop_tui.launch.scoring import score_data

            def progress(stage: str, done: int, total: int | None) -> None:
                of = f" {done:,} of {total:,} rows" if total else ""
                self.call_later(self.backprop.say, f"Scoring: {stage}{of}.  Esc stops.")

            data = self.draft.scans.resolve(words)
            return score_data(
                data, model, part=part, max_length=part.max_length, on_progress=progress, cancelled=cancelled
            )

        self.backprop.say("Scoring…  Esc stops.")
        self._job = in_thread(
            self, work, lambda scores: self._scored(words, part, scores), self.complain, group="data-write"
        )

    def _scored(self, words: str, part: DataPart, scores: Scores) -> None:
        from backprop_tui.data.tools.percentiles import keep_between

        known = sorted(value for value in scores.perplexities if value is not None)
        if not known:
            self.backprop.say("No row could be scored.", "warn")
            return
        at = {
            share: wording.significant(known[min(len(known) - 1, len(known) * share // 100)]) for share in (5, 50, 95)
        }
        facts = (
            f"Perplexity {wording.significant(scores.perplexity)} over {wording.rows(len(known))}"
            f" ({at[5]} at 5 %, {at[50]} at 50 %, {at[95]} at 95 %); {len(scores.unscored):,} without a score."
        )

        def numbers(text: str) -> tuple[float, float] | None:
            parts = text.replace(",", " ").replace("-", " ").split()
            try:
                low, high = (float(one) for one in parts)
            except ValueError:
                return None
            return (low, high) if 0 <= low < high <= 100 else None

        def check(text: str) -> str | None:
            return None if numbers(text) else "Give two percentiles such as 5 95."

        def answered(text: str | None) -> None:
            bounds = numbers(text) if text is not None else None
            if bounds is None:
                return
            kept = keep_between(scores.perplexities, *bounds)
            places = {scores.places[place] for place in kept.places}
            what = f"between percentiles {bounds[0]:g} and {bounds[1]:g}: {len(places):,} of {len(scores):,}"
            self._ask_file(words, what, "native", lambda out: self._write_places(words, part, places, out))

        body = Content(f"{facts}\n\nKeep rows between two percentiles, in a file of their own.  Esc keeps nothing.")
        self.app.push_screen(PromptModal(Content("Scores"), body, value="5 95", check=check), answered)

    def _write_places(self, words: str, part: DataPart, places: set[int], out: Path) -> None:
        def work(cancelled: Cancelled) -> Written:
            from backprop_tui.data.selection import rows_at
            from backprop_tui.data.writers import write_rows

            data = self.draft.scans.resolve(words)
            rows = (row for _, row in rows_at(data, part, places))
            return write_rows(rows, out, "native", inputs=data.files)

        self._job = in_thread(self, work, self._written, self.complain, group="data-write")
