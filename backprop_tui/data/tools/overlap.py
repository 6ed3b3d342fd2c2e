"""Whether what is learnt gives away what is measured: rows, questions and passages shared with a held-out set.

Passages follow the reports on GPT-3 and Llama: a row is contaminated when it shares a run of 13 words with a held-out row,
letters in lower case and everything but letters and digits ignored. System texts are left out, because thousands of rows
share them, and so are runs that more than `BOILERPLATE` different held-out rows have in common, which are instructions
around the question and not the question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.data.formats.conversation import Normalised, PlainText
from backprop_tui.data.tools.content import content_key
from backprop_tui.data.tools.texts import messages_of

if TYPE_CHECKING:
    import numpy as np

#: The same row; the same question with any answer; the same passage of 13 words (or the same whole text, if shorter).
OverlapKind = Literal["exact", "prompt", "ngram"]
#: Words of a passage.
WORDS = 13
#: A passage that more held-out rows than this have in common does not tell.
BOILERPLATE = 10
#: Examples a report lists.
MOST_EXAMPLES = 20
_BASE = 0x9E3779B97F4A7C15
_PIECE = 1 << 18
_ASCII = bytes(range(0x80))
# Letters in lower case and digits stay, and so do the bytes of characters beyond ASCII; everything else parts words.
_WORDS_ONLY = bytes(byte if byte >= 0x80 or chr(byte).isalnum() else 0x20 for byte in bytes(range(256)).lower())
# Kana and ideographs are written without spaces between words.
_FIRST_UNSPACED = "\u3040"


@dataclass(slots=True)
class OverlapReport:
    """How much of a set is in the held-out set.

    Args:
        rows: rows looked at. exact, prompts, ngrams: rows by the strongest kind found, each row counted once.
        examples: the first overlapping rows, (place, kind).
    """

    rows: int = 0
    exact: int = 0
    prompts: int = 0
    ngrams: int = 0
    examples: list[tuple[int, OverlapKind]] = field(default_factory=list)

    @property
    def overlapping(self) -> int:
        """Rows with an overlap of any kind."""
        return self.exact + self.prompts + self.ngrams

    @property
    def share(self) -> float:
        """Part of the rows that overlap, 0 to 1; 0 without rows."""
        return self.overlapping / self.rows if self.rows else 0.0

    def add(self, place: int, kind: OverlapKind | None) -> None:
        """Count one row."""
        self.rows += 1
        if kind is None:
            return
        self.exact += kind == "exact"
        self.prompts += kind == "prompt"
        self.ngrams += kind == "ngram"
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append((place, kind))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {
            "rows": self.rows,
            "exact": self.exact,
            "prompts": self.prompts,
            "ngrams": self.ngrams,
            "share": self.share,
            "examples": [{"place": place, "kind": kind} for place, kind in self.examples],
        }


class HeldOut:
    """Held-out rows as hashes: 8 bytes per word, some 150 per row and a table of at most 32 MiB; no text.

    The hashes do not depend on the process, so a set may be handed to another one.
    """

    def __init__(
        self, contents: set[bytes], questions: set[bytes], wholes: set[bytes], passages: np.ndarray[Any, Any]
    ) -> None:
        import numpy as np

        self._contents = contents
        self._questions = questions
        self._wholes = wholes
        self._passages = passages
        # A table of one byte per slot answers nearly all look-ups in one step; only its hits are looked up for sure.
        bits = min(25, max(10, (32 * len(passages)).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.bool_)
        self._table[passages >> self._shift] = True

    @classmethod
    def from_rows(cls, rows: Iterable[Normalised]) -> HeldOut:
        """Take in the held-out rows; of rows with the same content the first."""
        import numpy as np

        contents: set[bytes] = set()
        questions: set[bytes] = set()
        wholes: set[bytes] = set()
        found: list[np.ndarray[Any, Any]] = []
        for row in rows:
            key = content_key(row)
            if key in contents:
                continue
            contents.add(key)
            asked, told = _words_of(row)
            if asked:
                questions.add(_digest(asked))
            for hashes in _passages(told):
                found.append(np.unique(hashes))
            if (whole := _short(told)) is not None:
                wholes.add(whole)
        if not found:
            return cls(contents, questions, wholes, np.empty(0, np.uint64))
        passages, counts = np.unique(np.concatenate(found), return_counts=True)
        return cls(contents, questions, wholes, passages[counts <= BOILERPLATE])

    def check(self, row: Normalised) -> OverlapKind | None:
        """The strongest overlap of a row with the held-out rows; None when there is none."""
        if content_key(row) in self._contents:
            return "exact"
        asked, told = _words_of(row)
        if asked and _digest(asked) in self._questions:
            return "prompt"
        if any(self._shares(hashes) for hashes in _passages(told)):
            return "ngram"
        whole = _short(told)
        return "ngram" if whole is not None and whole in self._wholes else None

    def report(self, rows: Iterable[Normalised]) -> OverlapReport:
        """Check every row; examples are named by their place among `rows`, from 0."""
        report = OverlapReport()
        for place, row in enumerate(rows):
            report.add(place, self.check(row))
        return report

    def _shares(self, hashes: np.ndarray[Any, Any]) -> bool:
        import numpy as np

        likely = hashes[self._table.take(hashes >> self._shift)]
        if not likely.size:
            return False
        places = np.searchsorted(self._passages, likely)
        places[places == len(self._passages)] = 0
        return bool((self._passages[places] == likely).any())


def exceeds(report: OverlapReport, max_overlap: float) -> bool:
    """Whether more than `max_overlap` (a share, 0 to 1) of the rows overlap; the gate of `--max-overlap`."""
    return report.overlapping > max_overlap * report.rows


def _words_of(row: Normalised) -> tuple[bytes, bytes]:
    """The words of what is asked (all user turns), and those of everything but system texts, what is asked first."""
    if isinstance(row, PlainText):
        return b"", _words(row.text)
    asked: list[str] = []
    told: list[str] = []
    for message in messages_of(row):
        role = message.role
        if role == "user":
            asked.append(message.content)
        elif role != "system":
            told.append(message.content)
    question, rest = _words("\n".join(asked)), _words("\n".join(told))
    return question, b" ".join((question, rest)) if question and rest else question or rest


def _words(text: str) -> bytes:
    written = text.encode("utf-8", "surrogatepass")
    if len(written) > len(text):
        # Judged on the few characters beyond ASCII, because changing the case of a whole text costs more than all the rest.
        beyond = written.translate(None, _ASCII).decode("utf-8", "surrogatepass")
        if beyond != (lower := beyond.lower()):
            text, beyond = text.lower(), lower
            written = text.encode("utf-8", "surrogatepass")
        if max(beyond) >= _FIRST_UNSPACED:
            written = _parted(text).encode("utf-8", "surrogatepass")
    words = written.translate(_WORDS_ONLY).strip()
    # Twice as quick as splitting and joining: hardly any text has more than two spaces in a row.
    while b"  " in words:
        words = words.replace(b"  ", b" ")
    return words


def _parted(text: str) -> str:
    """Every character of a script without spaces as a word of its own; punctuation beyond ASCII as a space."""
    import re

    text = re.sub(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])", r" \1 ", text)
    return re.sub(r"[\u2010-\u2027\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]", " ", text)


def _short(words: bytes) -> bytes | None:
    """The key of a text too short to hold a passage; None for longer ones and for no words."""
    return _digest(words) if words and words.count(b" ") < WORDS - 1 else None


def _passages(words: bytes) -> Iterable[np.ndarray[Any, Any]]:
    """Hashes of all runs of 13 words, uint64, in pieces that bound what is in memory at a time."""
    import numpy as np

    words += b" "
    start = 0
    while True:
        piece = np.frombuffer(words, np.uint8, min(_PIECE, len(words) - start), start)
        ends = np.flatnonzero(piece == 0x20)
        count = len(ends) - WORDS + 1
        if count > 0:
            first = np.empty(count, np.intp)
            first[0] = 0
            np.add(ends[: count - 1], 1, out=first[1:])
            powers, inverse = _powers(max(4096, 1 << (len(piece) - 1).bit_length()))
            sums = (piece * powers[: len(piece)]).cumsum()
            before = sums[first - 1]
            before[0] = 0
            # What comes before a run is taken off and its powers are brought down to the first, so that equal runs agree.
            yield (sums[ends[WORDS - 1 :] - 1] - before) * inverse[first]
        if start + len(piece) == len(words):
            return
        # On to the first run that did not fit; past a word too long for any piece.
        start += int(ends[max(0, count - 1)]) + 1 if len(ends) else words.index(b" ", start + len(piece)) + 1 - start


@cache
def _powers(size: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The first `size` powers of the base and of its inverse modulo 2**64; few sizes, at most those of a piece."""
    import numpy as np

    steps = np.full((2, size), np.array([[_BASE], [pow(_BASE, -1, 1 << 64)]], np.uint64))
    steps[:, 0] = 1
    both = np.cumprod(steps, axis=1)
    return both[0], both[1]


def _digest(words: bytes) -> bytes:
    return hashlib.blake2b(words, digest_size=16).digest()
