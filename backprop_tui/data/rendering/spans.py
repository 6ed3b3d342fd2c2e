"""Where the answers stand in a rendered conversation, for any template, checked by rendering again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backprop_tui.data.formats.conversation import Message, ToolCall
from backprop_tui.data.rendering.control import ControlTokens, Span
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError

#: render(messages, add_generation_prompt) -> text
Render = Callable[[Sequence[Message], bool], str]


def answer_spans(render: Render, messages: Sequence[Message], text: str, control: ControlTokens) -> list[Span]:
    """Character spans of what the model has to produce: each answer with its end-of-turn token.

    An answer begins where the rendering of the turns before it, with a generation prompt, ends; it ends where the
    rendering up to and including it ends. A template that rewrites earlier turns (drops their reasoning, moves the system
    text) breaks that rule, so there the place is found by rendering with a unique word instead of the answer. Either way
    the answer's own words must stand inside the span.

    Args:
        render: the template.
        messages: the conversation.
        text: its rendering.
        control: the tokenizer's control tokens, to recognise the end of a turn.

    Raises:
        RowRejected: CHAT_TEMPLATE_AMBIGUOUS, an answer's place can't be told for sure.
    """
    spans: list[Span] = []
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        span = _by_prefix(render, messages, index, text, control) or _by_stand_in(
            render, messages, index, text, control
        )
        if span is None or (spans and span[0] < spans[-1][1]):
            raise RowRejected(
                "CHAT_TEMPLATE_AMBIGUOUS",
                "answer not found in the rendering",
                f"The chat template changes answer {index + 1} so that its place can't be told.",
                "Choose another chat template, or train on everything.",
            )
        spans.append(span)
    return spans


def _by_prefix(
    render: Render, messages: Sequence[Message], index: int, text: str, control: ControlTokens
) -> Span | None:
    if index == 0:
        return None
    try:
        before = render(messages[:index], True)
        through = text if index == len(messages) - 1 else render(messages[: index + 1], False)
    except DataError:
        return None
    if not text.startswith(before) or not text.startswith(through) or len(through) <= len(before):
        return None
    start, end = len(before), len(before) + len(text[len(before) : len(through)].rstrip())
    if not _holds(text[start:end], messages[index]):
        return None
    if not control.ends_with_one(text[start:end]):
        # Some templates write the end of a turn only when the next one begins.
        end = control.next_end(text, end) or end
    return start, end


def _by_stand_in(
    render: Render, messages: Sequence[Message], index: int, text: str, control: ControlTokens
) -> Span | None:
    if messages[index].tool_calls or messages[index].reasoning:
        return None
    word, number = "Zqanswerqz", 0
    while word in text:
        number += 1
        word = f"Zqanswer{number}qz"
    replaced = [*messages[:index], Message("assistant", word), *messages[index + 1 :]]
    try:
        before, found, after = render(replaced, False).partition(word)
    except DataError:
        return None
    if not found or word in after or len(before) + len(after) > len(text):
        return None
    if not text.startswith(before) or not text.endswith(after):
        return None
    start, end = len(before), len(text) - len(after)
    kept = text[start:end].strip()
    if not kept or not messages[index].content.strip().endswith(kept):
        return None
    return start, control.next_end(text, end) or end


def _holds(span: str, message: Message) -> bool:
    """Whether the span carries the answer: whole, or as separate reasoning and reply, with every call it makes."""
    words = message.content.strip()
    if not all(_calls(span, call) for call in message.tool_calls):
        return False
    if words in span:
        return True
    reasoning, mark, reply = words.rpartition("</think>")
    thought = reasoning.rpartition("<think>")[2].strip()
    return bool(mark) and bool(reply.strip()) and reply.strip() in span and thought in span


def _calls(span: str, call: ToolCall) -> bool:
    """Whether a call's name and its arguments are written in the span, in whatever notation."""
    if isinstance(call.arguments, str):
        return call.name in span and call.arguments.strip() in span
    return call.name in span and all(name in span for name in call.arguments)
