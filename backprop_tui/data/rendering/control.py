"""Control tokens: text that acts. A template may write them; a row may only quote them.

A row whose content holds `<|im_end|>` would end its turn early and could forge the next one. Such content is encoded as
the characters it is made of. Rows without control tokens in their content, nearly all, are never touched, so their ids
are those of plain `apply_chat_template`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from backprop_tui.data.formats.conversation import Message
from backprop_tui.data.rows import RowRejected

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Unicode noncharacters: no text uses them, so a pair absent from a row can mark places in its rendering.
_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
_ANCHOR = "\ufdef\ufdd0anchor\ufdd0\ufdef"
#: `<think>`, `</tool_call>`: markup a model writes inside an answer. It opens no turn, so it stays a token.
_MARKUP = re.compile(r"^</?[a-z_]+>$")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Token ids of a text and the characters each covers."""

    ids: list[int]
    offsets: list[Span]


class ControlTokens:
    """The strings a tokenizer turns into control tokens, and encoding around quoted ones.

    Control tokens are the tokenizer's special tokens, and other added tokens that the template itself writes.

    Args:
        tokenizer: truncation and padding off.
        template: Jinja source of the chat template.
    """

    def __init__(self, tokenizer: Tokenizer, template: str) -> None:
        self._tokenizer = tokenizer
        self._tokens = {
            token.content: (number, token)
            for number, token in tokenizer.get_added_tokens_decoder().items()
            if token.content and (token.special or (token.content in template and not _MARKUP.match(token.content)))
        }
        self.ids = frozenset(number for number, _ in self._tokens.values())
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._ending = re.compile(f"(?:{self._pattern.pattern})$")
        self._next = re.compile(rf"\s*(?:{self._pattern.pattern})")
        self._beginnings = sorted({token[:2] for token in self._tokens})
        # A normaliser such as NFKC turns full-width brackets into plain ones before `normalized` tokens are looked for.
        self._disguises = tokenizer.normalizer is not None and any(t.normalized for _, t in self._tokens.values())

    def ends_with_one(self, text: str) -> bool:
        """Whether the text's last characters are a control token."""
        return self._ending.search(text) is not None

    def next_end(self, text: str, position: int) -> int | None:
        """Where the control token that follows `position` (white space between) ends; None when something else follows."""
        match = self._next.match(text, position)
        return match.end() if match else None

    def occur_in(self, text: str) -> bool:
        """Whether the text quotes a control token."""
        # Looking for two characters is many times quicker than matching, and nearly all text has no such two.
        return any(two in text for two in self._beginnings) and self._pattern.search(text) is not None

    def places_in(self, text: str) -> list[Span]:
        """Where the text quotes control tokens."""
        return [hit.span() for hit in self._pattern.finditer(text)] if self.occur_in(text) else []

    @property
    def sees_disguises(self) -> bool:
        """Whether a control token may be written in other characters than its own."""
        return self._disguises

    def quoted(
        self, messages: Sequence[Message], render: Callable[[Sequence[Message]], str], rendering: str
    ) -> list[Span]:
        """Where `rendering` holds control tokens that come from the messages' content rather than from the template.

        Raises:
            RowRejected: a control token is written in disguise, or its place in the rendering can't be told.
        """
        if self._disguises and any(
            self.occur_in(self._normalised(message.content)) and not self.occur_in(message.content)
            for message in messages
        ):
            raise _ambiguous("A control token is written in look-alike characters.")
        if not any(self.occur_in(message.content) for message in messages):
            return []
        content = "".join(message.content for message in messages)
        free = [mark for mark in _MARKS if mark not in content]
        if len(free) < 2:
            raise _ambiguous("The row is full of characters that no text uses.")
        opening, closing = free[:2]
        marked = render(
            [
                Message(message.role, self._pattern.sub(lambda hit: f"{opening}{hit[0]}{closing}", message.content))
                for message in messages
            ]
        )
        plain: list[str] = []
        spans: list[Span] = []
        position = 0
        for piece in re.split(f"({opening}[^{opening}{closing}]*{closing})", marked):
            inner = piece[1:-1] if piece.startswith(opening) and piece.endswith(closing) and len(piece) > 1 else piece
            if inner is not piece:
                spans.append((position, position + len(inner)))
            plain.append(inner)
            position += len(inner)
        if "".join(plain) != rendering:
            raise _ambiguous("The chat template changes a control token that the row quotes.")
        return spans

    def encode(self, text: str, quoted: Sequence[Span]) -> TokenTable:
        """Encode a rendering in which the control tokens at `quoted` are ordinary characters.

        Raises:
            RowRejected: the tokenizer makes a control token even of the single characters.
        """
        ids: list[int] = []
        offsets: list[Span] = []
        start = 0
        strip_left = False
        for hit_start, hit_end in [*self._written(text, quoted), (len(text), len(text))]:
            number, token = self._tokens.get(text[hit_start:hit_end], (None, None))
            left, right = start, hit_start
            if strip_left:
                left += len(text[left:right]) - len(text[left:right].lstrip())
            if token is not None and token.lstrip:
                right = left + len(text[left:right].rstrip())
            table = self._plain_table(text, left, right, quoted)
            ids += table.ids
            offsets += table.offsets
            if number is not None:
                ids.append(number)
                offsets.append((hit_start, hit_end))
            start, strip_left = hit_end, token is not None and token.rstrip
        return TokenTable(ids, offsets)

    def _written(self, text: str, quoted: Sequence[Span]) -> list[Span]:
        """Control tokens the template wrote, in order."""
        found: list[Span] = []
        position = 0
        for start, end in [*quoted, (len(text), len(text))]:
            found += [hit.span() for hit in self._pattern.finditer(text, position, start)]
            position = end
        return found

    def _plain_table(self, text: str, start: int, end: int, quoted: Sequence[Span]) -> TokenTable:
        table = self._plain_piece(text, start, end)
        if self._acting.isdisjoint(table.ids):
            return table
        # A vocabulary may hold the control token as an ordinary piece as well: then only single characters are safe.
        cuts = {start, end}
        for left, right in quoted:
            if start <= left < end:
                cuts.update(range(left, right + 1))
        ids: list[int] = []
        offsets: list[Span] = []
        places = sorted(cuts)
        for left, right in itertools.pairwise(places):
            piece = self._plain_piece(text, left, right)
            ids += piece.ids
            offsets += piece.offsets
        if not self._acting.isdisjoint(ids):
            raise _ambiguous("The tokenizer makes a control token of ordinary text.")
        return TokenTable(ids, offsets)

    def _plain_piece(self, text: str, start: int, end: int) -> TokenTable:
        if start == end:
            return TokenTable([], [])
        # Behind an added token a tokenizer is in the middle of a text: no prefix space, no sentence start.
        anchor = _ANCHOR if start else ""
        encoding = self._quiet.encode(anchor + text[start:end], add_special_tokens=False)
        skip, shift = (1, start - len(anchor)) if anchor else (0, start)
        return TokenTable(
            list(encoding.ids[skip:]), [(left + shift, right + shift) for left, right in encoding.offsets[skip:]]
        )

    @cached_property
    def _quiet(self) -> Tokenizer:
        """The same tokenizer, deaf to control tokens. Built only when a row quotes one."""
        from tokenizers import AddedToken, Tokenizer

        words = json.loads(self._tokenizer.to_str())
        words["added_tokens"] = [entry for entry in words["added_tokens"] if entry["content"] not in self._tokens]
        words["post_processor"] = None
        quiet = Tokenizer.from_str(json.dumps(words))
        quiet.add_special_tokens([AddedToken(_ANCHOR, special=True, normalized=False)])
        return quiet

    @cached_property
    def _acting(self) -> frozenset[int]:
        """Control tokens but for the unknown token, which ordinary text may well become."""
        model = json.loads(self._tokenizer.to_str())["model"]
        name, number = model.get("unk_token"), model.get("unk_id")
        return self.ids - {number, self._tokenizer.token_to_id(name) if isinstance(name, str) else None}

    def _normalised(self, text: str) -> str:
        return str(self._tokenizer.normalizer.normalize_str(text))


def _ambiguous(cause: str) -> RowRejected:
    return RowRejected(
        "DATA_CONTROL_TOKENS", "control tokens in text", cause, "Remove the control tokens from the row's text."
    )
