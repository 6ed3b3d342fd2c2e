"""The model's tokenizer and chat template, without torch and without transformers.

What `encode` returns is what the worker trains on and what the preview shows: there is no second way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.data.formats.conversation import Conversation, Message, Normalised, PlainText
from backprop_tui.data.rendering import limits
from backprop_tui.data.rendering.control import ControlTokens
from backprop_tui.data.rendering.cutting import Tokens, answer_cut, as_table, cut_row, measure_row, usable_row
from backprop_tui.data.rendering.encoded import EncodedRow, Measure, Rendered, pieces_of
from backprop_tui.data.rendering.joined import parts_of
from backprop_tui.data.rendering.plans import Plan, Planner, TrainOn
from backprop_tui.data.rendering.template import ChatTemplate, find_special_tokens, find_template, read_config
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer


_PROBE = (Message("user", "What is it?"), Message("assistant", "It is this."))


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
        self._planner = Planner(self._template, self.control)

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
        return self._planner.render(messages, add_generation_prompt=add_generation_prompt)

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
        plan = self._planner.plan(row, train_on)
        return usable_row(self._tokens(plan), plan, max_length, self.eos_id, index)

    def encode_many(
        self,
        rows: Iterable[tuple[int, Normalised]],
        *,
        max_length: int | None,
        train_on: TrainOn,
        given: Sequence[int] = (),
    ) -> list[EncodedRow | DataError]:
        """Tokenise (index, row) pairs together, on several cores; a row that can't be used gives its error.

        `given` says of each row how many answers belong to its prompt, see `Planner.plan`; without it none do.
        """
        results: list[EncodedRow | DataError] = []
        rows = list(rows)
        plans = self._plans([row for _, row in rows], train_on, given)
        for place, ((index, _), (plan, tokens)) in enumerate(zip(rows, self._tokens_of(plans), strict=True)):
            try:
                if isinstance(plan, DataError):
                    raise plan
                prompt = bool(given) and given[place] < 0
                results.append(usable_row(tokens, plan, max_length, self.eos_id, index, prompt=prompt))
            except DataError as error:
                results.append(error)
        return results

    def measure_many(
        self, rows: Sequence[Normalised], *, max_length: int | None, train_on: TrainOn
    ) -> list[Measure | DataError]:
        """Count the tokens of rows of any kind without keeping them; a row that can't be used gives its error.

        A pair counts as its longer half, and what is learnt of both; a bare prompt teaches nothing by itself.
        """
        parts = [(place, part, given) for place, row in enumerate(rows) for part, given in parts_of(row)]
        results: list[Measure | DataError | None] = [None] * len(rows)
        plans = self._plans([part for _, part, _ in parts], train_on, [given for _, _, given in parts])
        for (place, _, given), (plan, tokens) in zip(parts, self._tokens_of(plans), strict=True):
            before = results[place]
            if isinstance(before, DataError):
                continue
            try:
                if isinstance(plan, DataError):
                    raise plan
                measure = measure_row(tokens, plan, max_length, self.eos_id)
                if not measure.trained and given >= 0:
                    raise RowRejected(*answer_cut(measure.tokens, measure.cut))
                results[place] = measure if before is None else before.beside(measure)
            except DataError as error:
                results[place] = error
        return [result for result in results if result is not None]

    def _plans(
        self, rows: Sequence[Conversation | PlainText | Normalised], train_on: TrainOn, given: Sequence[int] = ()
    ) -> list[Plan | DataError]:
        plans: list[Plan | DataError] = []
        with limits.batch_time():
            for place, row in enumerate(rows):
                try:
                    plans.append(self._planner.plan(row, train_on, given[place] if given else 0))
                except DataError as error:
                    if error.code in limits.CODES:
                        raise
                    plans.append(error)
        return plans

    def _tokens_of(self, plans: Sequence[Plan | DataError]) -> list[tuple[Plan | DataError, Tokens]]:
        """Each plan with its tokens; what the tokenizer can do in one call it does in one."""
        found: list[tuple[Plan | DataError, Any]] = [(plan, None) for plan in plans]
        plan: Plan | DataError
        for plain in (False, True):
            group = [
                (place, plan)
                for place, plan in enumerate(plans)
                if isinstance(plan, Plan) and plan.plain is plain and not plan.quoted
            ]
            encodings = self._tokenizer.encode_batch([plan.text for _, plan in group], add_special_tokens=plain)
            for (place, plan), encoding in zip(group, encodings, strict=True):
                found[place] = plan, encoding
        for place, plan in enumerate(plans):
            if isinstance(plan, Plan) and plan.quoted:
                try:
                    found[place] = plan, self._tokens(plan)
                except DataError as error:
                    found[place] = error, None
        return found

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> list[int]:
        """Token ids of the turns and the generation prompt, for generating the next answer.

        Raises:
            DataError: no template, or it refuses the roles.
        """
        plan = self._planner.plan(Conversation(tuple(messages), tuple(tools)), "answers", -1)
        return list(as_table(self._tokens(plan)).ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def explain(self, row: Normalised, *, max_length: int | None, train_on: TrainOn = "answers") -> Rendered:
        """Like `encode`, with the text cut into learnt, masked and left-out pieces.

        A row whose answer is cut away is shown as well; its `encoded.trained_tokens` is 0. Of a pair the better half is
        shown, of a bare prompt the prompt with what asks for its answer.

        Raises:
            DataError: as `encode`, but for the cut answer.
        """
        part, given = parts_of(row)[0]
        plan = self._planner.plan(part, train_on, given)
        table = as_table(self._tokens(plan))
        encoded = cut_row(table, plan, max_length, self.eos_id, -1)
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
        return Rendered(encoded, pieces_of(text, ends, encoded.trained), tuple(ends))

    def _tokens(self, plan: Plan) -> Tokens:
        if plan.quoted:
            return self.control.encode(plan.text, plan.quoted)
        return self._tokenizer.encode(plan.text, add_special_tokens=plan.plain)
