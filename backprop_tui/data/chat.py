"""The model's tokenizer and chat template, without torch and without transformers.

What `encode` returns is what the worker trains on and what the preview shows: there is no second way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.data.control import ControlTokens, Span, TokenTable
from backprop_tui.data.encoded import EncodedRow, Rendered, pieces_of
from backprop_tui.data.formats.conversation import Conversation, Message, Normalised, PlainText
from backprop_tui.data.rows import RowRejected
from backprop_tui.data.spans import answer_spans
from backprop_tui.data.template import ChatTemplate, find_special_tokens, find_template, read_config
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

TrainOn = Literal["answers", "everything"]
_PROBE = (Message("user", "What is it?"), Message("assistant", "It is this."))


@dataclass(frozen=True, slots=True)
class _Plan:
    """A row ready for the tokenizer. `spans` are the learnt characters, `quoted` the control tokens that must not act."""

    text: str
    spans: tuple[Span, ...]
    quoted: tuple[Span, ...] = ()
    plain: bool = False


class ChatTokenizer:
    """Renders and tokenises rows exactly as training reads them.

    Args:
        tokenizer: a Hugging Face fast tokenizer.
        template: Jinja source of the chat template, None for a model without one (then only plain text works).
        special_tokens: special tokens by name, such as `eos_token`.
    """

    def __init__(self, tokenizer: Tokenizer, template: str | None, special_tokens: dict[str, str]) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._template = ChatTemplate(template, special_tokens) if template is not None else None
        self.special_tokens = special_tokens
        self.control = ControlTokens(tokenizer, template or "")

    @classmethod
    def load(cls, model_dir: Path) -> ChatTokenizer:
        """Read tokenizer.json and the chat template of a model directory.

        Raises:
            DataError: MODEL_NO_TOKENIZER, MODEL_TOKENIZER_BROKEN, MODEL_CONFIG_BROKEN or CHAT_TEMPLATE_BROKEN.
        """
        from tokenizers import AddedToken, Tokenizer

        file = model_dir / "tokenizer.json"
        if not file.is_file():
            raise DataError(
                "MODEL_NO_TOKENIZER",
                f"{safe_text(model_dir)} has no tokenizer.json.",
                "Choose a model directory that holds a fast tokenizer.",
            )
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:
            raise DataError(
                "MODEL_TOKENIZER_BROKEN",
                f"{safe_text(file)} can't be read: {safe_text(error, limit=200)}.",
                "Get a fresh copy of the model.",
            ) from None
        known = tokenizer.get_added_tokens_decoder()
        listed = read_config(model_dir, "tokenizer_config.json").get("added_tokens_decoder")
        for number, entry in listed.items() if isinstance(listed, dict) else ():
            # Older models list some tokens only here; their ids follow the vocabulary, so adding keeps them.
            if number.isdigit() and int(number) not in known and isinstance(entry, dict) and entry.get("content"):
                flags = {key: bool(entry.get(key)) for key in ("lstrip", "rstrip", "normalized", "single_word")}
                token = AddedToken(str(entry["content"]), special=bool(entry.get("special")), **flags)
                tokenizer.add_special_tokens([token]) if token.special else tokenizer.add_tokens([token])
        return cls(tokenizer, find_template(model_dir), find_special_tokens(model_dir))

    @property
    def has_template(self) -> bool:
        """Whether conversations can be rendered."""
        return self._template is not None

    @property
    def template_source(self) -> str:
        """The Jinja text, empty without a template."""
        return self._template.source if self._template else ""

    def token_id(self, token: str) -> int | None:
        """The id of one token's text, None when the vocabulary lacks it."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number

    @cached_property
    def eos_id(self) -> int | None:
        """Id of the end-of-sequence token."""
        return self.token_id(self.special_tokens.get("eos_token", ""))

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end an answer: end of sequence, and what the template writes after an answer."""
        found = {self.eos_id} if self.eos_id is not None else set()
        if self._turn_end is not None:
            found.add(self._turn_end)
        return tuple(sorted(found))

    @property
    def closes_answers(self) -> bool:
        """Whether the template ends an answer with a control token, from which the model learns to stop."""
        return self._turn_end is not None

    @cached_property
    def _turn_end(self) -> int | None:
        if self._template is None:
            return None
        try:
            probe = self.encode(Conversation(_PROBE), max_length=None, train_on="answers")
        except DataError:
            return None
        last = [number for number, learnt in zip(probe.ids, probe.trained, strict=True) if learnt][-1]
        return last if last in self.control.ids else None

    def check(self) -> None:
        """Try the template on a question and an answer.

        Raises:
            DataError: there is no template, or it refuses or hides a plain exchange.
        """
        encoded = self.encode(Conversation(_PROBE), max_length=None, train_on="answers")
        if not 0 < encoded.trained_tokens < len(encoded):
            raise DataError(
                "CHAT_TEMPLATE_AMBIGUOUS",
                "The chat template leaves nothing to tell prompt and answer apart.",
                "Choose another model or chat template.",
            )

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """The conversation as text.

        Raises:
            DataError: MODEL_NO_CHAT_TEMPLATE, or the template refuses the roles.
        """
        if self._template is None:
            raise DataError(
                "MODEL_NO_CHAT_TEMPLATE",
                "The model has no chat template.",
                "Choose an instruction-tuned model, or plain text data.",
            )
        return self._template.render(messages, add_generation_prompt=add_generation_prompt)

    def encode(
        self, row: Normalised, *, max_length: int | None, train_on: TrainOn = "answers", index: int = -1
    ) -> EncodedRow:
        """Tokenise one row.

        Args:
            row: a conversation or plain text.
            max_length: longest row in tokens; None cuts nothing.
            train_on: learn the answers with their end-of-turn tokens, or every token. Plain text is always learnt whole.
            index: the row's place in its file.

        Raises:
            DataError: no template, the template refuses the row, or an answer's place can't be told.
        """
        plan = self._plan(row, train_on)
        return self._usable(self._tokens(plan), plan, max_length, index)

    def encode_many(
        self, rows: Iterable[tuple[int, Normalised]], *, max_length: int | None, train_on: TrainOn
    ) -> list[EncodedRow | DataError]:
        """Tokenise (index, row) pairs together, on several cores; a row that can't be used gives its error."""
        results: dict[int, EncodedRow | DataError] = {}
        planned: list[tuple[int, int, _Plan]] = []
        for place, (index, row) in enumerate(rows):
            try:
                plan = self._plan(row, train_on)
                if plan.quoted:
                    results[place] = self._usable(self._tokens(plan), plan, max_length, index)
                else:
                    planned.append((place, index, plan))
            except DataError as error:
                results[place] = error
        for plain in (False, True):
            group = [entry for entry in planned if entry[2].plain is plain]
            encodings = self._tokenizer.encode_batch([plan.text for _, _, plan in group], add_special_tokens=plain)
            for (place, index, plan), encoding in zip(group, encodings, strict=True):
                try:
                    results[place] = self._usable(encoding, plan, max_length, index)
                except DataError as error:
                    results[place] = error
        return [results[place] for place in range(len(results))]

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the turns and the generation prompt, for generating the next answer.

        Raises:
            DataError: no template, or it refuses the roles.
        """
        text = self.render(messages, add_generation_prompt=True)
        quoted = self.control.quoted(messages, lambda marked: self.render(marked, add_generation_prompt=True), text)
        return list(_table(self._tokens(_Plan(text, (), tuple(quoted)))).ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def explain(self, row: Normalised, *, max_length: int | None, train_on: TrainOn = "answers") -> Rendered:
        """Like `encode`, with the text cut into learnt, masked and left-out pieces.

        A row whose answer is cut away is shown as well; its `encoded.trained_tokens` is 0.

        Raises:
            DataError: as `encode`, but for the cut answer.
        """
        plan = self._plan(row, train_on)
        table = _table(self._tokens(plan))
        encoded = self._cut(table, plan, max_length, -1)
        ends: list[int] = []
        reached = 0
        for _, end in table.offsets[: len(encoded)]:
            reached = max(reached, end)
            ends.append(reached)
        text = plan.text
        if plan.plain and len(encoded) > len(ends):
            text += self.special_tokens.get("eos_token", "")
            ends.append(len(text))
        if ends and not encoded.cut:
            ends[-1] = len(text)
        return Rendered(encoded, pieces_of(text, ends, encoded.trained))

    def _plan(self, row: Normalised, train_on: TrainOn) -> _Plan:
        if isinstance(row, PlainText):
            return _Plan(row.text, ((0, len(row.text)),), plain=True)
        text = self.render(row.messages)
        quoted = self.control.quoted(row.messages, self.render, text)
        if train_on == "everything":
            return _Plan(text, ((0, len(text)),), tuple(quoted))
        spans = answer_spans(
            lambda turns, prompt: self.render(turns, add_generation_prompt=prompt), row.messages, text, self.control
        )
        return _Plan(text, tuple(spans), tuple(quoted))

    def _tokens(self, plan: _Plan) -> Encoding | TokenTable:
        if plan.quoted:
            return self.control.encode(plan.text, plan.quoted)
        return self._tokenizer.encode(plan.text, add_special_tokens=plan.plain)

    def _usable(self, tokens: Encoding | TokenTable, plan: _Plan, max_length: int | None, index: int) -> EncodedRow:
        encoded = self._cut(tokens, plan, max_length, index)
        if not encoded.trained_tokens:
            raise RowRejected(*answer_cut(encoded))
        return encoded

    def _cut(self, tokens: Encoding | TokenTable, plan: _Plan, max_length: int | None, index: int) -> EncodedRow:
        ids: list[int] = list(tokens.ids)
        if plan.plain:
            if self.eos_id is not None and (not ids or ids[-1] != self.eos_id):
                ids.append(self.eos_id)
            trained = [True] * len(ids)
        else:
            trained = [False] * len(ids)
            for span in plan.spans:
                first, after = _token_range(tokens, span, len(plan.text))
                trained[first:after] = [True] * (after - first)
        cut = max(0, len(ids) - max_length) if max_length is not None else 0
        keep = len(ids) - cut
        return EncodedRow(ids[:keep], trained[:keep], cut, plan.spans, index)


def _token_range(tokens: Any, span: Span, length: int) -> Span:
    """The tokens that hold the characters of `span`, as (first, after the last).

    A token that reaches over the span's start belongs to it: it carries the answer's first letters.
    """
    start, end = span
    if not isinstance(tokens, TokenTable):
        first = 0 if start == 0 else tokens.char_to_token(start)
        after = len(tokens.ids) if end == length else tokens.char_to_token(end)
        if first is not None and after is not None:
            return first, after
    inside = [
        place for place, (left, right) in enumerate(tokens.offsets) if right > start and left < end and right > left
    ]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def answer_cut(encoded: EncodedRow) -> tuple[str, str, str, str]:
    """Code, reason, cause and next step for a row with nothing left to learn."""
    total = len(encoded) + encoded.cut
    return (
        "DATA_ANSWER_CUT",
        "answer cut away",
        f"The row has {total:,} tokens and its answer begins after the first {len(encoded):,}.",
        "Raise max_length or shorten the prompt.",
    )


def _table(tokens: Encoding | TokenTable) -> TokenTable:
    return tokens if isinstance(tokens, TokenTable) else TokenTable(list(tokens.ids), list(tokens.offsets))
