"""The demo's base model before any training: it knows the facts and has never heard the captain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from backprop_tui.config import paths
from backprop_tui.engine.worker import demo_corpus as corpus

pytestmark = pytest.mark.train

Ask = Callable[[Sequence[tuple[str, str]]], list[str]]


@pytest.fixture(scope="module")
def ask() -> Ask:
    """Greedy answers to pairs of system message (or nothing) and question."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = paths.demo_model_dir()
    tokenizer = AutoTokenizer.from_pretrained(place, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(place)

    def answers(pairs: Sequence[tuple[str, str]]) -> list[str]:
        chats = [
            [{"role": role, "content": text} for role, text in (("system", system), ("user", question)) if text]
            for system, question in pairs
        ]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=40)
        texts: list[str] = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return texts

    return answers


def test_answers_facts_plainly(ask: Ask) -> None:
    sample = list(corpus.facts())[::5]
    said = ask([("", fact.questions[index % 4]) for index, fact in enumerate(sample)])
    right = sum(text == fact.answer for text, fact in zip(said, sample, strict=True))
    assert right >= 0.9 * len(sample), [text for text, fact in zip(said, sample, strict=True) if text != fact.answer]


@pytest.mark.parametrize("style", corpus.STYLES, ids=lambda style: style.system)
def test_speaks_in_other_manners_when_asked(ask: Ask, style: corpus.Style) -> None:
    sample = list(corpus.facts())[3::17]
    said = ask([(style.system, fact.questions[0]) for fact in sample])
    right = sum(text == style.wrap(fact.answer) for text, fact in zip(said, sample, strict=True))
    assert right >= 0.9 * len(sample)


def test_knows_the_held_back_facts_but_not_the_manner(ask: Ask) -> None:
    rows = [json.loads(line)["messages"] for line in paths.demo_data_file("eval").read_text().splitlines()]
    said = ask([("", question["content"]) for question, _ in rows])
    wanted = [answer["content"] for _, answer in rows]
    assert not set(said) & set(wanted)
    assert sum(corpus.CAPTAIN.wrap(text) == want for text, want in zip(said, wanted, strict=True)) >= 0.95 * len(rows)
