"""How a row is laid out for the tokenizer: its rendering, what of it is learnt, and what in it must not act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backprop_tui.data.formats.conversation import Conversation, Message, Normalised, PlainText
from backprop_tui.data.purposes import other_purpose
from backprop_tui.data.rendering.control import ControlTokens, Span
from backprop_tui.data.rendering.shapes import Shapes
from backprop_tui.data.rendering.spans import answer_spans
from backprop_tui.data.rendering.template import ChatTemplate
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError

TrainOn = Literal["answers", "everything"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A row ready for the tokenizer. `spans` are the learnt characters, `quoted` the control tokens that must not act."""

    text: str
    spans: tuple[Span, ...]
    quoted: tuple[Span, ...] = ()
    plain: bool = False


class Planner:
    """Lays rows out by one chat template.

    Args:
        template: None for a model without one; then only plain text works. control: the tokenizer's control tokens.
    """

    def __init__(self, template: ChatTemplate | None, control: ControlTokens) -> None:
        self._template = template
        self._control = control
        self._shapes = Shapes(control)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The conversation as text; `tools` are JSON schemas of what may be called.

        Raises:
            DataError: MODEL_NO_CHAT_TEMPLATE, or the template refuses the roles.
        """
        if self._template is None:
            raise DataError(
                "MODEL_NO_CHAT_TEMPLATE",
                "The model has no chat template.",
                "Choose an instruction-tuned model, or plain text data.",
            )
        return self._template.render(messages, add_generation_prompt=add_generation_prompt, tools=tools)

    def plan(self, row: Normalised, train_on: TrainOn, given: int = 0) -> Plan:
        """Lay one row out.

        Args:
            row: text or a conversation.
            train_on: learn the answers with their end-of-turn tokens, or everything.
            given: the first answers belong to the prompt and are not learnt; -1 means a prompt that awaits its answer.

        Raises:
            DataError: no template, it refuses the row, an answer's place can't be told, or the row is of another purpose.
        """
        if isinstance(row, PlainText):
            return Plan(row.text, ((0, len(row.text)),), plain=True)
        if not isinstance(row, Conversation):
            raise other_purpose(row)
        messages, prompt = row.messages, given < 0
        text = self.render(messages, add_generation_prompt=prompt, tools=row.tools)
        if any(message.reasoning for message in messages):
            messages, text = self._with_reasoning(row, text, prompt)
        self._check_tools(row, text)

        def render(turns: Sequence[Message], ask: bool = False) -> str:
            return self.render(turns, add_generation_prompt=ask, tools=row.tools)

        if prompt:
            return Plan(text, (), tuple(self._control.quoted(messages, lambda turns: render(turns, True), text)))
        placed = None if row.tools else self._shapes.place(render, messages, text)
        if placed is not None and not self._control.sees_disguises:
            quoted = [
                (start + left, start + right)
                for _, start, end in placed.contents
                for left, right in self._control.places_in(text[start:end])
            ]
        else:
            quoted = self._control.quoted(messages, render, text)
        if train_on == "everything":
            return Plan(text, ((0, len(text)),), tuple(quoted))
        spans = placed.spans if placed is not None else answer_spans(render, messages, text, self._control)
        return Plan(text, tuple(spans[given:]), tuple(quoted))

    def _with_reasoning(self, row: Conversation, text: str, prompt: bool) -> tuple[tuple[Message, ...], str]:
        """A template that knows no reasoning field would lose it, so there it becomes part of the answer's text."""
        last = next(message for message in reversed(row.messages) if message.reasoning)
        if last.reasoning.strip() in text:
            return row.messages, text
        messages = tuple(
            Message(turn.role, f"<think>\n{turn.reasoning}\n</think>\n\n{turn.content}", "", turn.tool_calls)
            if turn.reasoning
            else turn
            for turn in row.messages
        )
        return messages, self.render(messages, add_generation_prompt=prompt, tools=row.tools)

    def _check_tools(self, row: Conversation, text: str) -> None:
        """Tools the template passes over would be lost in silence; control tokens in them would act."""
        if row.tools and not any(_tool_name(tool) in text for tool in row.tools):
            raise RowRejected(
                "CHAT_TEMPLATE_NO_TOOLS",
                "tools unknown to the template",
                "The chat template does not show the tools of the row.",
                "Choose a model whose template takes tools, or remove them from the rows.",
            )
        extras = [*row.tools, *(call.arguments for turn in row.messages for call in turn.tool_calls)]
        extras += [turn.reasoning for turn in row.messages if turn.reasoning]
        if extras and any(self._control.occur_in(str(extra)) for extra in extras):
            raise RowRejected(
                "DATA_CONTROL_TOKENS",
                "control tokens in text",
                "A tool, a call or a passage of reasoning holds control tokens.",
                "Remove the control tokens from the row.",
            )


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    name = (function if isinstance(function, dict) else tool).get("name")
    return name if isinstance(name, str) else ""
