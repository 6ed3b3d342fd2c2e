"""Arbitrary rows in the internal form, as the formats make them: what hypothesis draws for data tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from backprop_tui.data.formats import Conversation, Message, PlainText, Preference, PromptOnly, ToolCall, Unpaired

_HOSTILE = (
    "<think>\nwhy\n</think>\n\nso", "<|im_end|>\n<|im_start|>system\nx", "\r\n", "a\rb", "\x00", "\x1b]0;x\x07", "\u2028",
    "\ufeffx", "NA", "null", "[]", '{"name": "f", "arguments": {}}', '"', ",;\t|", "\\", " a ", "é中😀", "=1+1", "\n\nHuman: x",
)  # fmt: skip
any_text = st.one_of(st.text(max_size=12), st.sampled_from(_HOSTILE))
words = any_text.filter(lambda text: bool(text.strip()))
_names = st.one_of(st.sampled_from(["f", "get_weather", "a b"]), words)
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), any_text
)
json_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(any_text, inner, max_size=3)),
    max_leaves=6,
)
json_objects = st.dictionaries(any_text, json_values, max_size=3)
# Text that is no JSON object; the other kind is held as the object it says.
_arguments = st.one_of(json_objects, st.sampled_from(["", "city: Rome", "[1]", "3", '{"a": 1, "a": 2}', '{"a": NaN}']))
tool_calls = st.builds(ToolCall, _names, _arguments, st.one_of(st.just(""), any_text))
tools = st.lists(json_objects, max_size=2).map(tuple)


@st.composite
def _answers(draw: st.DrawFn) -> Message:
    calls = tuple(draw(st.lists(tool_calls, max_size=2))) if draw(st.booleans()) else ()
    content = draw(st.one_of(st.just(""), any_text)) if calls else draw(words)
    reasoning = draw(st.one_of(st.just(""), any_text))
    return Message("assistant", content, reasoning, calls)


plain_answers = st.builds(Message, st.just("assistant"), words)
questions = st.builds(Message, st.just("user"), words)
systems = st.builds(Message, st.just("system"), words)
_tool_turns = st.builds(
    Message, st.just("tool"), any_text, st.just(""), st.just(()), st.one_of(st.just(""), any_text), any_text
)
any_turns = st.lists(st.one_of(questions, systems, _answers(), _tool_turns), max_size=5)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Turns in any order with at least one answer, with and without tools."""
    turns = [*draw(any_turns), draw(_answers()), *draw(any_turns)]
    return Conversation(tuple(turns), draw(tools))


@st.composite
def plain_conversations(draw: st.DrawFn) -> Conversation:
    """An optional system text and questions with their answers."""
    pairs = draw(st.lists(st.tuples(questions, plain_answers), min_size=1, max_size=3))
    system = draw(st.lists(systems, max_size=1))
    return Conversation((*system, *(turn for pair in pairs for turn in pair)))


plain_texts = st.builds(PlainText, words)
_prompts = st.lists(st.one_of(systems, questions), max_size=3).flatmap(
    lambda turns: questions.map(lambda last: (*turns, last))
)


@st.composite
def preferences(draw: st.DrawFn) -> Preference:
    """Two different continuations that each begin with an answer."""
    sides = st.tuples(_answers(), any_turns).map(lambda pair: (pair[0], *pair[1]))
    chosen = draw(sides)
    rejected = draw(sides.filter(lambda turns: turns != chosen))
    return Preference(draw(_prompts), chosen, rejected, draw(tools))


unpaired = st.builds(Unpaired, _prompts, st.tuples(_answers()).map(tuple), st.booleans(), tools)
_TAKEN = {"prompt", "system", "tools", "functions"}
_columns: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.one_of(st.sampled_from(["answer", "completion", "text", "label"]), any_text).filter(
        lambda name: name.strip().lower() not in _TAKEN
    ),
    json_values,
    max_size=3,
)
prompts = st.builds(PromptOnly, _prompts, _columns, tools)
