"""How many rows hold secrets or personal data. Counts only: what was found is never handed out.

Looking for eighteen patterns in every row would take longer than reading the file. Nearly every byte is passed over: five
letters that each secret has one of, and the digits, are found by comparing whole blocks at a time; their neighbours are
compared the same way; and only what is left meets a regular expression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_tui.data.tools import patterns

if TYPE_CHECKING:
    import numpy as np

#: What is counted.
KINDS: dict[str, str] = {
    "email": "e-mail addresses; not those of example.com and the like",
    "phone": "telephone numbers, international with + or North American in groups",
    "card": "payment card numbers with a valid checksum",
    "iban": "bank account numbers (IBAN) with a valid checksum",
    "ssn": "US social security numbers",
    "ip": "public IPv4 addresses",
    "url_password": "addresses with a password in them",
    "private_key": "private keys (PEM, OpenSSH, PGP)",
    "jwt": "signed web tokens (JWT)",
    "aws_key": "AWS access keys",
    "github_token": "GitHub tokens",
    "gitlab_token": "GitLab tokens",
    "huggingface_token": "Hugging Face tokens",
    "openai_key": "OpenAI keys",
    "anthropic_key": "Anthropic keys",
    "google_key": "Google API keys",
    "slack_token": "Slack tokens",
    "stripe_key": "Stripe keys",
}
_BLOCK = 1 << 18
_ANCHORS = b"@_-IJ"


@dataclass(slots=True)
class SensitiveRows:
    """Rows with a hit, by kind.

    Args:
        rows: lines that hold at least one of the kind.
        first: byte offset of the first such line.
    """

    rows: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, buffer: bytes, offset: int = 0) -> None:
        """Count the lines of one more piece of a file.

        Args:
            buffer: whole lines; the last one may lack its line break. A few MiB at a time keep memory small.
            offset: where the piece begins in the file; pieces come in ascending order.
        """
        lines: dict[str, set[int]] = {}
        for kind, place in _found(buffer):
            lines.setdefault(kind, set()).add(buffer.rfind(b"\n", 0, place) + 1)
        for kind, starts in lines.items():
            self.rows[kind] += len(starts)
            self.first.setdefault(kind, offset + min(starts))

    def to_dict(self) -> dict[str, int]:
        """JSON-ready: rows by kind, most first."""
        return dict(self.rows.most_common())


def count_sensitive(buffer: bytes) -> Counter[str]:
    """Lines of a buffer that hold something sensitive, by kind (see `KINDS`).

    Args:
        buffer: whole lines of text, such as a piece of a JSONL file as it stands.
    """
    found = SensitiveRows()
    found.add(buffer)
    return found.rows


def _found(buffer: bytes) -> Iterator[tuple[str, int]]:
    """(kind, place) of everything found; a kind may be named several times for a line."""
    import numpy as np

    octets = np.frombuffer(buffer, np.uint8)
    places, digits = _anchors(octets)
    for place in _likely_at(octets, places[0x40]):
        kind = patterns.at_sign(buffer, place)
        if kind:
            yield kind, place
    for place in _likely_tokens(octets, places):
        yield from patterns.tokens(buffer, max(0, place - 6), place + 1)
    if len(digits) and b"\\u" in buffer:
        digits = digits[~_escaped(octets, digits)]
    for kind, start in _likely_numbers(octets, digits):
        holds, before = _NUMBERS[kind]
        if any(holds(buffer, start - step) for step in before if step <= start):
            yield kind, start


def _anchors(octets: np.ndarray[Any, Any]) -> tuple[dict[int, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Places of the anchor letters by letter, and places of all digits; blocks small enough to stay in the cache."""
    import numpy as np

    hits: dict[int, list[np.ndarray[Any, Any]]] = {anchor: [] for anchor in _ANCHORS}
    digits: list[np.ndarray[Any, Any]] = []
    equal = np.empty(_BLOCK, np.bool_)
    moved = np.empty(_BLOCK, np.uint8)
    for start in range(0, len(octets), _BLOCK):
        block = octets[start : start + _BLOCK]
        flags = equal[: len(block)]
        for anchor, found in hits.items():
            np.equal(block, anchor, out=flags)
            if len(here := np.flatnonzero(flags)):
                found.append(here + start)
        np.subtract(block, 0x30, out=moved[: len(block)])
        np.less(moved[: len(block)], 10, out=flags)
        if len(here := np.flatnonzero(flags)):
            digits.append(here + start)
    none = np.empty(0, np.intp)
    return {anchor: np.concatenate([none, *found]) for anchor, found in hits.items()}, np.concatenate([none, *digits])


class _Near:
    """The bytes around some places, compared all at once; beyond the ends of the buffer nothing is equal to anything."""

    def __init__(self, octets: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> None:
        self._octets = octets
        self._places = places

    def __call__(self, offset: int, letters: bytes) -> Any:
        """Whether the byte `offset` away is one of `letters`; shape of the places, bool."""
        import numpy as np

        there = self._places + offset
        inside = (there >= 0) & (there < len(self._octets))
        value = self._octets.take(there, mode="clip")
        return inside & np.isin(value, np.frombuffer(letters, np.uint8), kind="table")


def _likely_at(octets: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> list[int]:
    if not len(places):
        return []
    near = _Near(octets, places)
    likely: list[int] = places[~near(-1, b" \t\r\n\"'(<[{\\@") & ~near(1, b" \t\r\n\"')>]}@.")].tolist()
    return likely


def _likely_tokens(octets: np.ndarray[Any, Any], places: dict[int, np.ndarray[Any, Any]]) -> list[int]:
    """Anchors with the beginning of a secret around them."""
    likely: list[int] = []
    for anchor, where in places.items():
        if not len(where) or anchor == 0x40:
            continue
        near = _Near(octets, where)
        if anchor == 0x5F:  # hf_ ghp_ github_pat_ sk_live_
            flags = (near(-1, b"f") & near(-2, b"h")) | (near(-2, b"h") & near(-3, b"g"))
            flags |= (near(-1, b"b") & near(-2, b"u")) | (near(-1, b"k") & near(-2, b"sr"))
        elif anchor == 0x2D:  # sk- glpat- xoxb- -----BEGIN
            flags = (near(-1, b"k") & near(-2, b"s")) | (near(-1, b"t") & near(-2, b"a") & near(-3, b"p"))
            flags |= (near(-2, b"x") & near(-3, b"o") & near(-4, b"x")) | (near(-1, b"-") & near(1, b"B"))
        elif anchor == 0x49:  # AKIA ASIA AIza
            flags = (near(-1, b"KS") & near(-2, b"A") & near(1, b"A")) | (near(-1, b"A") & near(1, b"z"))
        else:  # eyJ
            flags = near(-1, b"y") & near(-2, b"e")
        likely += where[flags].tolist()
    return likely


def _escaped(octets: np.ndarray[Any, Any], digits: np.ndarray[Any, Any]) -> Any:
    """Whether a digit belongs to an escape such as \\u00e9, which is a letter and would merge with a number behind it."""
    near = _Near(octets, digits)
    flags = near(-1, b"u") & near(-2, b"\\")
    for step in (2, 3, 4):
        flags |= near(-step, b"u") & near(-step - 1, b"\\")
    return flags


def _likely_numbers(octets: np.ndarray[Any, Any], digits: np.ndarray[Any, Any]) -> Iterator[tuple[str, int]]:
    """(kind, place) of groups of digits whose lengths and separators fit a kind."""
    import numpy as np

    if not len(digits):
        return
    breaks = np.flatnonzero(np.diff(digits) > 1)
    starts = digits[np.concatenate(([0], breaks + 1))]
    ends = digits[np.concatenate((breaks, [len(digits) - 1]))] + 1
    lengths = ends - starts
    # Four groups are looked at together; behind the last one stand groups of no length, far away.
    lengths = np.concatenate((lengths, [0, 0, 0]))
    gaps = np.concatenate((starts[1:] - ends[:-1], [99, 99, 99, 99]))
    size = [lengths[step : step + len(starts)] for step in range(4)]
    gap = [gaps[step : step + len(starts)] for step in range(3)]
    first = _Near(octets, starts)
    behind = _Near(octets, ends)
    joined = (gap[0] == 1) & (gap[1] == 1)
    groups = {
        "phone": first(-1, b"+")
        | ((size[0] == 3) & (size[1] == 3) & (size[2] == 4) & (gap[0] <= 2) & (gap[1] == 1)),
        "ssn": (size[0] == 3) & (size[1] == 2) & (size[2] == 4) & joined & behind(0, b"-"),
        "card": ((size[0] >= 14) & (size[0] <= 16))
        | ((size[0] == 4) & joined & (size[1] == 4) & (size[2] == 4))
        | ((size[0] == 4) & joined & (size[1] == 6) & (size[2] >= 4) & (size[2] <= 5)),
        "ip": (size[0] <= 3) & (size[1] <= 3) & (size[2] <= 3) & (size[3] <= 3) & (size[3] >= 1)
        & joined & (gap[2] == 1) & behind(0, b"."),
        "iban": (size[0] >= 2) & first(-1, _UPPER) & first(-2, _UPPER),
    }  # fmt: skip
    for kind, flags in groups.items():
        for start in starts[flags].tolist():
            yield kind, start


_UPPER = bytes(range(0x41, 0x5B))
# What tells, and how far before its first likely digit a number of the kind may begin: `+`, `(`, `1-`, a country.
_NUMBERS: dict[str, tuple[Callable[[bytes, int], bool], tuple[int, ...]]] = {
    "phone": (patterns.is_phone, (0, 1, 2, 3)),
    "ssn": (patterns.is_ssn, (0,)),
    "card": (patterns.is_card, (0,)),
    "iban": (patterns.is_iban, (2,)),
    "ip": (patterns.is_public_ip, (0,)),
}
