"""What a look through a dataset found, as figures and as words."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec

from backprop_tui.data.looking.packing import PackingForecast
from backprop_tui.data.looking.part import MOST_EACH, MOST_PROBLEMS
from backprop_tui.data.looking.statistics import LengthStats
from backprop_tui.data.rows import Problem
from backprop_tui.protocol.text import safe_text

Verdict = Literal["ok", "warn", "bad"]


@dataclass(slots=True)
class FileFinding:
    """One file of the set: its (harmless) name, bytes, rows read and rows that can be used."""

    name: str
    size: int
    rows: int = 0
    kept: int = 0


@dataclass(slots=True)
class Inspection:
    """What a look through a dataset found. `rows` is always `kept` plus the sum of `dropped`.

    Args:
        words: the dataset as it was named. size: bytes of its files. max_length: longest row in tokens, None for any.
        refuses_damage: whether damaged rows make the set unusable; otherwise they are dropped and counted.
        answers_only: whether only answers are to be learnt.
        files: the files one by one.
        rows: rows read, broken ones included. kept: rows that would be trained on.
        dropped: rows left out, by reason.
        formats: kept rows by format. purpose: what the kept rows are for.
        problems: the first ones, in order. problem_counts: all of them, by code. errors: rows that are damaged.
        duplicates: kept rows whose content occurred before.
        quoted: rows whose text quotes control tokens, which are then read as ordinary text.
        sensitive: rows with personal data or secrets, by kind.
        tokens: lengths in tokens before cutting; None without a tokenizer. characters: lengths in characters.
        trained_tokens: tokens that are learnt, trained_share: of the kept tokens; None without a tokenizer.
        cut_rows: rows longer than `max_length`. cut_tokens: what they lose.
        packing: what packing would do; None without a tokenizer.
        complete: False when it was cancelled on the way.
        seconds: time it took.
    """

    words: str
    size: int
    max_length: int | None = None
    refuses_damage: bool = True
    answers_only: bool = False
    files: list[FileFinding] = field(default_factory=list)
    rows: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    purpose: str = ""
    problems: list[Problem] = field(default_factory=list)
    problem_counts: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    quoted: int = 0
    sensitive: Counter[str] = field(default_factory=Counter)
    tokens: LengthStats | None = None
    characters: LengthStats | None = None
    trained_tokens: int | None = None
    trained_share: float | None = None
    cut_rows: int = 0
    cut_tokens: int = 0
    packing: PackingForecast | None = None
    complete: bool = True
    errors: int = 0
    seconds: float = 0.0
    lengths: array[int] = field(default_factory=lambda: array("I"))

    @property
    def all_trained(self) -> bool:
        """Whether every token of a set of conversations is learnt although only answers were to be."""
        return self.answers_only and self.trained_share == 1.0 and set(self.formats) - {"text"} != set()

    @property
    def verdict(self) -> Verdict:
        """`bad` is refused by a launch, `warn` deserves a look."""
        if (self.errors and self.refuses_damage) or not self.kept or self.trained_tokens == 0 or self.all_trained:
            return "bad"
        return "warn" if self.problem_counts or self.duplicates or self.cut_rows or self.sensitive else "ok"

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        if self.errors and self.refuses_damage:
            first = next((problem for problem in self.problems if problem.severity == "error"), None)
            place = msgspec.structs.replace(first, column=None).where if first else ""
            where = f" ({place})" if place else ""
            return f"{self.errors:,} damaged {'row' if self.errors == 1 else 'rows'}{where}"
        if not self.kept:
            return self.dropped.most_common(1)[0][0] if self.dropped else "no rows"
        if self.trained_tokens == 0:
            return "nothing to learn"
        if self.all_trained:
            return "the prompts would be learnt too"
        if (lost := sum(self.dropped.values())) > 0:
            return f"{lost:,} of {self.rows:,} rows left out"
        if self.cut_rows:
            return f"{self.cut_rows:,} {'row' if self.cut_rows == 1 else 'rows'} cut"
        if self.duplicates:
            return f"{self.duplicates:,} {'duplicate' if self.duplicates == 1 else 'duplicates'}"
        return "ok" if self.verdict == "ok" else "worth a look"

    def add(self, problem: Problem) -> None:
        """Count a problem, and list it while there is room."""
        self.problem_counts[problem.code] += 1
        self.errors += problem.severity == "error"
        self.show(problem)

    def show(self, problem: Problem) -> None:
        """List a problem that has been counted, while there is room for it and for its kind."""
        if len(self.problems) < MOST_PROBLEMS:
            listed = sum(other.code == problem.code for other in self.problems)
            if listed < MOST_EACH:
                self.problems.append(problem)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words; names are made harmless for display."""
        return {
            "file": safe_text(self.words),
            "files": [asdict(file) for file in self.files],
            "bytes": self.size,
            "verdict": self.verdict,
            "headline": self.headline,
            "complete": self.complete,
            "rows": self.rows,
            "kept": self.kept,
            "dropped": dict(self.dropped.most_common()),
            "formats": dict(self.formats.most_common()),
            "purpose": self.purpose,
            "duplicates": self.duplicates,
            "quoted": self.quoted,
            "sensitive": dict(self.sensitive.most_common()),
            "max_length": self.max_length,
            "tokens": self.tokens.to_dict() if self.tokens else None,
            "characters": self.characters.to_dict() if self.characters else None,
            "trained_tokens": self.trained_tokens,
            "trained_share": self.trained_share,
            "cut_rows": self.cut_rows,
            "cut_tokens": self.cut_tokens,
            "packing": asdict(self.packing) if self.packing else None,
            "problem_counts": dict(self.problem_counts.most_common()),
            "problems": [problem.to_dict() for problem in self.problems],
            "seconds": round(self.seconds, 3),
        }
