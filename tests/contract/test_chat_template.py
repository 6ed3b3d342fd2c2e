"""Our rendering and tokenising against the library that serves and trains the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import TemplateError

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.data.formats import Conversation, Message
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.protocol.errors import DataError
from tests.support.models import TEMPLATES, make_model

pytestmark = pytest.mark.train

CHATS = {
    "one turn": [("user", "Hello! What is 2 + 2?"), ("assistant", "It is 4.")],
    "three turns": [
        ("user", "Hello!"),
        ("assistant", "  the fox \n"),
        ("user", "What is it?\n\nTell me <b>all</b> & more"),
        ("assistant", "quick\n\nbrown"),
        ("user", "a question"),
        ("assistant", "\u00e9\u00e8 \u4f60\u597d \U0001f600\U0001f1e9\U0001f1ea"),
    ],
    "system": [("system", "You are a fox."), ("user", "Hello!"), ("assistant", "It is 4.")],
    "reasoning": [
        ("user", "Hello!"),
        ("assistant", "<think>\nfirst\n</think>\n\nanswers"),
        ("user", "again"),
        ("assistant", "<think>\nsecond\n</think>\n\nthe answer"),
    ],
    "tool": [("user", "Hello!"), ("tool", "{'x': 1}"), ("assistant", "It is 4.")],
}


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("kind", ["bytes", "pieces", "unigram"])
@pytest.mark.parametrize("family", [*TEMPLATES, "demo"])
def test_text_and_ids_equal_transformers(family: str, kind: str, chat: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    place = demo_model_dir() if family == "demo" else make_model(tmp_path / "m", TEMPLATES[family], kind=kind)
    theirs, ours = AutoTokenizer.from_pretrained(place), ChatTokenizer.load(place)
    messages = [Message(role, content) for role, content in CHATS[chat]]
    words = [{"role": message.role, "content": message.content} for message in messages]
    for prompt in (False, True):
        refusal = ""
        try:
            expected = theirs.apply_chat_template(words, tokenize=False, add_generation_prompt=prompt)
        except TemplateError as error:
            refusal = str(error)
        if refusal:
            with pytest.raises(DataError, match=re.escape(refusal)):
                ours.render(messages, add_generation_prompt=prompt)
            return
        assert ours.render(messages, add_generation_prompt=prompt) == expected
    ids = theirs.apply_chat_template(words, return_dict=True)["input_ids"]
    assert ours.encode(Conversation(tuple(messages)), max_length=None).ids == ids
    prompt_ids = theirs.apply_chat_template(words[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ours.encode_prompt(messages[:-1]) == prompt_ids


def test_mask_equals_the_generation_tag(tmp_path: Path) -> None:
    """Where a template marks its answers itself, our own search finds the same tokens."""
    from transformers import AutoTokenizer

    place = make_model(tmp_path / "m", TEMPLATES["qwen"])
    theirs, ours = AutoTokenizer.from_pretrained(place), ChatTokenizer.load(place)
    for chat in ("one turn", "three turns", "system", "reasoning"):
        messages = tuple(Message(role, content) for role, content in CHATS[chat])
        words = [{"role": message.role, "content": message.content} for message in messages]
        masks = theirs.apply_chat_template(words, return_dict=True, return_assistant_tokens_mask=True)
        encoded = ours.encode(Conversation(messages), max_length=None)
        assert encoded.trained == [bool(flag) for flag in masks["assistant_masks"]], chat


def test_template_that_converts_to_json_does_not_escape_html(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    template = "{{ messages | tojson }}{{ messages | map(attribute='role') | list | tojson(indent=2) }}{{ bos_token }}"
    place = make_model(tmp_path / "m", template)
    words = [{"role": "user", "content": "<a href='x'>&\u00e9"}]
    expected = AutoTokenizer.from_pretrained(place).apply_chat_template(words, tokenize=False)
    assert ChatTokenizer.load(place).render([Message("user", words[0]["content"])]) == expected
    assert "<a href" in expected


def test_plain_text_ids_equal_transformers_plus_eos(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from backprop_tui.data.formats import PlainText

    place = make_model(tmp_path / "m", kind="pieces")
    theirs, ours = AutoTokenizer.from_pretrained(place), ChatTokenizer.load(place)
    encoded = ours.encode(PlainText("the fox </s> answers"), max_length=None)
    assert encoded.ids == [*theirs("the fox </s> answers")["input_ids"], theirs.eos_token_id]
    assert all(encoded.trained)
