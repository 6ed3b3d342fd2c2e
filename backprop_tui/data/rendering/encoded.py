"""A tokenised row, stored compactly, and the same row as a person reads it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Literal

from backprop_tui.data.rendering.control import Span

PieceKind = Literal["trained", "masked", "cut"]


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of one row: tokens after cutting, how many of them are learnt, how many were cut, and whether its text
    quotes control tokens."""

    tokens: int
    trained: int
    cut: int
    quoted: bool

    def beside(self, other: Measure) -> Measure:
        """The measure of two halves of a pair."""
        return Measure(
            max(self.tokens, other.tokens),
            self.trained + other.trained,
            self.cut + other.cut,
            self.quoted or other.quoted,
        )


class EncodedRow:
    """Token ids of one row and which of them are learnt: 5 bytes per token.

    Args:
        ids: token ids after cutting.
        trained: for each token, whether it is learnt.
        cut: tokens cut off at the end because the row is longer than `max_length`.
        text_spans: characters of the whole rendering that are learnt.
        index: position of the row among the file's rows, from 0; -1 when the row is not from a file.
    """

    __slots__ = ("_ids", "_trained", "cut", "index", "text_spans")

    def __init__(
        self, ids: list[int], trained: list[bool], cut: int, text_spans: tuple[Span, ...], index: int = -1
    ) -> None:
        self._ids = array("i", ids)
        self._trained = bytes(trained)
        self.cut = cut
        self.text_spans = text_spans
        self.index = index

    @classmethod
    def from_parts(
        cls, ids: bytes, trained: bytes, cut: int, text_spans: tuple[Span, ...], index: int = -1
    ) -> EncodedRow:
        """A row from what `parts` gave."""
        row = cls([], [], cut, text_spans, index)
        row._ids.frombytes(ids)
        row._trained = trained
        return row

    def parts(self) -> tuple[bytes, bytes]:
        """Ids as 32-bit numbers of this machine, and one byte a token that says whether it is learnt."""
        return self._ids.tobytes(), self._trained

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> list[int]:
        """Token ids, a fresh list."""
        return self._ids.tolist()

    @property
    def trained(self) -> list[bool]:
        """Whether each token is learnt, a fresh list."""
        return [bool(flag) for flag in self._trained]

    @property
    def trained_tokens(self) -> int:
        """Number of tokens that are learnt."""
        return self._trained.count(1)

    def digest_bytes(self) -> bytes:
        """What the fingerprint hashes: ids and mask, byte for byte."""
        return self._ids.tobytes() + self._trained


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the rendering. `cut` text is longer than the model may read and is left out."""

    text: str
    kind: PieceKind

    @property
    def trained(self) -> bool:
        """Whether the loss looks at it."""
        return self.kind == "trained"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row as the model reads it; the pieces together are the whole text.

    Args:
        encoded: its tokens. pieces: its text, cut where tokens change between learnt, masked and left out.
        ends: for each kept token, the character after its last one; a character of several tokens ends with their last.
    """

    encoded: EncodedRow
    pieces: tuple[Piece, ...]
    ends: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The rendering, cut part included."""
        return "".join(piece.text for piece in self.pieces)


def pieces_of(text: str, ends: list[int], trained: list[bool]) -> tuple[Piece, ...]:
    """Cut a rendering where its tokens change between learnt, masked and left out.

    Args:
        text: the rendering.
        ends: for each kept token, the character after its last one.
        trained: whether each kept token is learnt.
    """
    pieces: list[Piece] = []
    start = 0
    for place, (end, learnt) in enumerate(zip(ends, trained, strict=True)):
        if (place + 1 < len(ends) and trained[place + 1] == learnt) or end <= start:
            continue
        pieces.append(Piece(text[start:end], "trained" if learnt else "masked"))
        start = end
    if start < len(text):
        pieces.append(Piece(text[start:], "cut"))
    return tuple(pieces)
