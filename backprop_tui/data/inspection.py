"""Look through a whole data file and say what is in it, what is wrong and where, and what a model would learn from it."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.data.encoded import EncodedRow
from backprop_tui.data.formats import Conversation, Normalised, read_row
from backprop_tui.data.rows import Problem, Row, RowRejected
from backprop_tui.data.sources import check_source, read_rows
from backprop_tui.data.statistics import LengthStats, length_stats
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.chat import ChatTokenizer, TrainOn

Verdict = Literal["ok", "warn", "bad"]

#: Problems listed one by one; beyond that they are only counted.
MOST_PROBLEMS = 200
_BATCH = 256
_DAMAGED = "damaged"
_REFUSED = "refused by the chat template"


@dataclass(slots=True)
class Inspection:
    """What a look through one file found. `rows` is always `kept` plus the sum of `dropped`.

    Args:
        path: the file. size: its bytes.
        rows: rows read, broken ones included. kept: rows that would be trained on.
        dropped: rows left out, by reason.
        formats: kept rows by format.
        problems: the first ones, in file order. problem_counts: all of them, by code.
        duplicates: kept rows whose content occurred before.
        quoted: rows whose text quotes control tokens, which are then read as ordinary text.
        tokens: lengths in tokens before cutting; None without a tokenizer. characters: lengths in characters.
        trained_share: share of the kept tokens that is learnt; None without a tokenizer.
        cut_rows: rows longer than `max_length`. cut_tokens: what they lose.
        complete: False when it was cancelled on the way.
        seconds: time it took.
    """

    path: Path
    size: int
    max_length: int | None
    rows: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    problem_counts: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    quoted: int = 0
    tokens: LengthStats | None = None
    characters: LengthStats | None = None
    trained_share: float | None = None
    cut_rows: int = 0
    cut_tokens: int = 0
    complete: bool = True
    errors: int = 0
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """`bad` is refused by a launch, `warn` deserves a look."""
        if self.errors or not self.kept:
            return "bad"
        return "warn" if self.problem_counts or self.duplicates or self.cut_rows else "ok"

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        if self.errors:
            first = next((problem for problem in self.problems if problem.severity == "error"), None)
            where = f" ({first.where})" if first and first.where else ""
            return f"{self.errors:,} damaged {'row' if self.errors == 1 else 'rows'}{where}"
        if not self.kept:
            return self.dropped.most_common(1)[0][0] if self.dropped else "no rows"
        if (lost := sum(self.dropped.values())) > 0:
            return f"{lost:,} of {self.rows:,} rows left out"
        if self.cut_rows:
            return f"{self.cut_rows:,} rows cut"
        if self.duplicates:
            return f"{self.duplicates:,} duplicates"
        return "ok" if self.verdict == "ok" else "worth a look"

    def add(self, problem: Problem) -> None:
        """Count a problem, and list it while there is room."""
        self.problem_counts[problem.code] += 1
        self.errors += problem.severity == "error"
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def drop(self, reason: str, problem: Problem) -> None:
        """Leave one row out, by name."""
        self.dropped[reason] += 1
        self.add(problem)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words; the path is made harmless for display."""
        return {
            "file": safe_text(self.path),
            "bytes": self.size,
            "verdict": self.verdict,
            "headline": self.headline,
            "complete": self.complete,
            "rows": self.rows,
            "kept": self.kept,
            "dropped": dict(self.dropped.most_common()),
            "formats": dict(self.formats.most_common()),
            "duplicates": self.duplicates,
            "quoted": self.quoted,
            "max_length": self.max_length,
            "tokens": self.tokens.to_dict() if self.tokens else None,
            "characters": self.characters.to_dict() if self.characters else None,
            "trained_share": self.trained_share,
            "cut_rows": self.cut_rows,
            "cut_tokens": self.cut_tokens,
            "problem_counts": dict(self.problem_counts.most_common()),
            "problems": [problem.to_dict() for problem in self.problems],
            "seconds": round(self.seconds, 3),
        }


def inspect_file(
    path: Path,
    *,
    tokenizer: ChatTokenizer | None = None,
    max_length: int | None = None,
    train_on: TrainOn = "answers",
    format: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Inspection:
    """Read every row once, in memory that does not grow with the text.

    Args:
        path: the data file.
        tokenizer: the model's, to count tokens and check masks; None leaves tokens unknown.
        max_length: longest row in tokens; None cuts nothing.
        train_on: what the loss looks at.
        format: a format's name, or `auto` to look at each row.
        on_progress: told (bytes read, bytes in all) every few hundred rows.
        cancelled: asked as often; True ends the look, and the result says it is not complete.

    Raises:
        DataError: the file can't be read at all, or stops being readable.
    """
    began = time.monotonic()
    size = check_source(path)
    found = Inspection(path, size, max_length)
    look = _Look(found, tokenizer, max_length, train_on)
    for row in read_rows(path):
        if row.index % _BATCH == 0:
            if cancelled and cancelled():
                found.complete = False
                break
            if on_progress:
                on_progress(row.end, size)
        found.rows += 1
        if row.problem is not None:
            found.drop(_DAMAGED, replace(row.problem, row=row.index + 1))
            continue
        try:
            name, normalised = read_row(row.value, format)
        except RowRejected as error:
            found.drop(error.reason, _warning(error, row.line, row.index))
            continue
        look.take(row, name, normalised)
    look.finish()
    if not found.rows and found.complete:
        raise DataError("DATA_FILE_EMPTY", f"{safe_text(path.name)} has no rows.", "Choose a file with rows in it.")
    if tokenizer is not None and look.conversations and not tokenizer.closes_answers:
        found.add(
            Problem(
                "CHAT_TEMPLATE_NO_STOP",
                "The chat template ends an answer without a control token, so the model may not learn to stop.",
                "Choose a chat template that ends answers with one.",
                severity="warn",
            )
        )
    if on_progress and found.complete:
        on_progress(size, size)
    found.seconds = time.monotonic() - began
    return found


class _Look:
    """Gathers statistics over the rows that can be used."""

    def __init__(
        self, found: Inspection, tokenizer: ChatTokenizer | None, max_length: int | None, train_on: TrainOn
    ) -> None:
        self._found = found
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._train_on: TrainOn = train_on
        self._waiting: list[tuple[Row, str, Normalised]] = []
        self._seen: set[bytes] = set()
        self._characters = array("Q")
        self._tokens = array("I")
        self._trained = 0
        self.conversations = False

    def take(self, row: Row, format: str, normalised: Normalised) -> None:
        """One row in a known format."""
        if self._tokenizer is None:
            self._keep(format, normalised)
            return
        self._waiting.append((replace(row, value=None), format, normalised))
        if len(self._waiting) == _BATCH:
            self._tokenise(self._tokenizer)

    def finish(self) -> None:
        """The last rows, and the statistics."""
        if self._tokenizer is not None:
            self._tokenise(self._tokenizer)
            kept_tokens = sum(self._tokens) - self._found.cut_tokens
            self._found.tokens = length_stats(self._tokens)
            self._found.trained_share = self._trained / kept_tokens if kept_tokens else None
        self._found.characters = length_stats(self._characters)

    def _tokenise(self, tokenizer: ChatTokenizer) -> None:
        batch, self._waiting = self._waiting, []
        results = tokenizer.encode_many(
            ((row.index, normalised) for row, _, normalised in batch),
            max_length=self._max_length,
            train_on=self._train_on,
        )
        for (row, name, normalised), result in zip(batch, results, strict=True):
            if not isinstance(result, EncodedRow):
                reason = result.reason if isinstance(result, RowRejected) else _REFUSED
                self._found.drop(reason, _warning(result, row.line, row.index))
                continue
            self._keep(name, normalised)
            self._tokens.append(len(result) + result.cut)
            self._trained += result.trained_tokens
            self._found.cut_rows += result.cut > 0
            self._found.cut_tokens += result.cut
            if isinstance(normalised, Conversation) and any(
                tokenizer.control.occur_in(message.content) for message in normalised.messages
            ):
                self._found.quoted += 1
                self._found.add(
                    Problem(
                        "DATA_CONTROL_TOKENS",
                        "The row quotes control tokens; they are read as ordinary text.",
                        "Nothing to do, unless they got there by mistake.",
                        row.line,
                        row.index + 1,
                        "warn",
                    )
                )

    def _keep(self, format: str, normalised: Normalised) -> None:
        self._found.kept += 1
        self._found.formats[format] += 1
        if isinstance(normalised, Conversation):
            self.conversations = True
            parts = [part for message in normalised.messages for part in (message.role, message.content)]
            length = sum(len(message.content) for message in normalised.messages)
        else:
            parts, length = [normalised.text], len(normalised.text)
        self._characters.append(length)
        # Lengths first, so that no two different rows are written the same way.
        written = "\x00".join([*(str(len(part)) for part in parts), *parts])
        digest = hashlib.blake2b(written.encode(), digest_size=16).digest()
        if digest in self._seen:
            self._found.duplicates += 1
        self._seen.add(digest)


def _warning(error: DataError, line: int | None, index: int) -> Problem:
    return Problem(error.code, error.cause, error.next_step, line, index + 1, "warn")
