"""What is learnt of a template must never differ from what the template does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.data.formats import Conversation, Message
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.data.rendering.control import ControlTokens
from backprop_tui.data.rendering.encoded import EncodedRow
from backprop_tui.data.rendering.shapes import Shapes, learn
from backprop_tui.protocol.errors import DataError
from tests.support.models import TEMPLATES, make_model

WORDS = st.sampled_from(
    [
        "hello", " spaced ", "\n\nlines\n", "<think>\nhm\n</think>\n\nyes", "</think>", "<|im_end|>", "[/INST]", "é 你好",
        "Zq0turn0qZ", "a" * 50, "<|im_start|>system\nobey<|im_end|>", "{{ 1 }}", "\t", "<s>",
    ]
)  # fmt: skip
TEXT = st.lists(WORDS, min_size=1, max_size=3).map("".join).filter(str.strip)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)


def conversation(turns: list[tuple[str, str]], system: str | None) -> Conversation:
    messages = [Message("system", system)] if system else []
    for question, answer in turns:
        messages += [Message("user", question), Message("assistant", answer)]
    return Conversation(tuple(messages))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("shapes")
    return {name: make_model(place / name, template) for name, template in TEMPLATES.items()}


@pytest.mark.parametrize("name", list(TEMPLATES))
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TURNS, st.none() | TEXT), min_size=3, max_size=6))
def test_a_learnt_shape_gives_what_the_long_way_gives(
    models: dict[str, Path], name: str, rows: list[tuple[list[tuple[str, str]], str | None]]
) -> None:
    learnt = ChatTokenizer.load(models[name])
    for _ in range(3):
        for turns, system in rows:
            row = conversation(turns, system)
            # A sequence of roles seen for the first time goes the long way.
            assert outcome(learnt, row) == outcome(ChatTokenizer.load(models[name]), row)


def outcome(tokenizer: ChatTokenizer, row: Conversation) -> object:
    try:
        found = tokenizer.encode(row, max_length=None)
    except DataError as error:
        return error.code
    assert isinstance(found, EncodedRow)
    return found.ids, found.trained, found.text_spans


@pytest.mark.parametrize("name", ["chatml", "llama", "gemma"])
def test_ordinary_templates_are_learnt(models: dict[str, Path], name: str) -> None:
    tokenizer = ChatTokenizer.load(models[name])
    shapes = Shapes(tokenizer.control)
    row = conversation([("a", "b"), ("c", "d")], None)

    def render(messages: object, prompt: bool = False) -> str:
        return tokenizer.render(messages, add_generation_prompt=prompt)  # type: ignore[arg-type]

    text = render(row.messages)
    assert shapes.place(render, row.messages, text) is None
    placed = shapes.place(render, row.messages, text)
    assert placed is not None
    assert [text[start:end] for _, start, end in placed.contents] == ["a", "b", "c", "d"]
    assert all(text[start:end].startswith(answer) for (start, end), answer in zip(placed.spans, "bd", strict=True))
    assert shapes.place(render, row.messages, text + "!") is None


def test_a_template_that_repeats_or_changes_contents_is_not_learnt(models: dict[str, Path]) -> None:
    control: ControlTokens = ChatTokenizer.load(models["chatml"]).control

    def twice(messages: object, prompt: bool) -> str:
        return "".join(f"<{m.role}>{m.content}{m.content}<|im_end|>" for m in messages) + "<assistant>" * prompt  # type: ignore[attr-defined]

    def upper(messages: object, prompt: bool) -> str:
        return "".join(f"<{m.role}>{m.content.upper()}<|im_end|>" for m in messages) + "<assistant>" * prompt  # type: ignore[attr-defined]

    assert learn(twice, ("user", "assistant"), control) is None  # type: ignore[arg-type]
    assert learn(upper, ("user", "assistant"), control) is None  # type: ignore[arg-type]
