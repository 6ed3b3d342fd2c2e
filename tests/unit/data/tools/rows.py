"""Rows for the tests of the dataset tools."""

from __future__ import annotations

from hypothesis import strategies as st

from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    ToolCall,
    Unpaired,
)


def chat(*turns: str, system: str = "") -> Conversation:
    """Turns of user and assistant in turn."""
    roles = ("user", "assistant") * len(turns)
    messages = [Message(role, turn) for role, turn in zip(roles, turns, strict=False)]
    return Conversation((*([Message("system", system)] if system else []), *messages))


_SHORT = st.text(alphabet="ab1,\x00\n é\u4f60;:", max_size=6)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _SHORT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_SHORT, inner, max_size=2),
    max_leaves=4,
)
_OBJECT = st.dictionaries(_SHORT, _JSON, max_size=2)
_CALL = st.builds(ToolCall, _SHORT, _OBJECT | _SHORT, _SHORT)
_MESSAGE = st.builds(
    Message,
    st.sampled_from(("system", "user", "assistant", "tool")),
    _SHORT,
    st.just("") | _SHORT,
    st.lists(_CALL, max_size=2).map(tuple),
    st.just("") | _SHORT,
    st.just("") | _SHORT,
)
_MESSAGES = st.lists(_MESSAGE, max_size=3).map(tuple)
_TOOLS = st.lists(_OBJECT, max_size=1).map(tuple)

#: Rows of every kind with everything in them, small enough that parts often coincide.
ROWS: st.SearchStrategy[Normalised] = st.one_of(
    st.builds(Conversation, _MESSAGES, _TOOLS),
    st.builds(PlainText, _SHORT),
    st.builds(Preference, _MESSAGES, _MESSAGES, _MESSAGES, _TOOLS),
    st.builds(Unpaired, _MESSAGES, _MESSAGES, st.booleans(), _TOOLS),
    st.builds(PromptOnly, _MESSAGES, _OBJECT, _TOOLS),
)

#: Content keys of which some repeat.
KEYS = st.lists(st.integers(0, 30).map(lambda number: b"key %d" % number), max_size=60)
