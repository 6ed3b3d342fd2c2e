"""Pairs, marked answers and bare prompts on their way to a run: what of them is learnt, what is left out and how it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.config import paths
from backprop_tui.data import training_set
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.formats import Normalised, Preference, PromptOnly, Unpaired
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.data.rendering.encoded import Measure
from backprop_tui.data.rendering.joined import Noted, Pair, joined, parts_of
from backprop_tui.data.training_set import TrainingSet
from backprop_tui.data.versions.identify import fingerprint_data
from backprop_tui.launch import preflight
from backprop_tui.protocol.errors import BackpropError, DataError, UsageError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import ROWS_OF, DataPart, RunSpec
from tests.support import rows as drawn

PLACE = paths.demo_model_dir()
CHAT = {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Aye."}]}
PAIR = {"prompt": "What is up?", "chosen": "The sky is up.", "rejected": "The sea is up."}
MARKED = {"prompt": "What is up?", "completion": "The sky is up.", "label": True}
ASKED = {"prompt": "What is up?", "place": "the sky"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    with RemoteTokenizer(PLACE) as made:
        yield made


def write(place: Path, *rows: object) -> Path:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def built(tokenizer: Any, path: Path, purpose: Any, **part: Any) -> TrainingSet:
    data = DataPart(path=str(path), **{"eval_split": 0.0, **part})
    return training_set.build(data, PLACE, seed=1, purpose=purpose, tokenizer=tokenizer)


def text(row: Any, learnt: bool) -> str:
    tokens = ChatTokenizer.load(PLACE)
    ids = [token for token, flag in zip(row.ids, row.trained, strict=True) if flag is learnt]
    return tokens.decode(ids, skip_special_tokens=False)


def test_only_the_answers_of_a_pair_are_learnt_each_after_the_whole_prompt(tokenizer: Any, tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is up?"},
        {"role": "assistant", "content": "The sky."},
        {"role": "user", "content": "And down?"},
    ]
    row = {
        "prompt": turns,
        "chosen": [{"role": "assistant", "content": "The sea."}],
        "rejected": [{"role": "assistant", "content": "The moon."}],
    }
    (pair,) = built(tokenizer, write(tmp_path / "x.jsonl", row), "preference", train_on="everything").train
    assert isinstance(pair, Pair)
    for half, answer in ((pair.chosen, "The sea."), (pair.rejected, "The moon.")):
        assert text(half, learnt=True).startswith(answer)
        assert "The sky." in text(half, learnt=False), "an answer of the prompt is context, not learnt"
    assert pair.chosen.ids[: pair.chosen.trained.index(True)] == pair.rejected.ids[: pair.rejected.trained.index(True)]


def test_labels_and_columns_come_along_and_count_in_the_fingerprint(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    prints = []
    for label in (True, False):
        data = built(tokenizer, write(path, {**MARKED, "label": label}), "unpaired")
        (row,) = data.train
        assert isinstance(row, Noted)
        assert row.wanted is label
        prints.append(data.fingerprint["train"]["sha256"])
    for place in ("the sky", "the sea"):
        data = built(tokenizer, write(path, {**ASKED, "place": place}), "prompt")
        (row,) = data.train
        assert isinstance(row, Noted)
        assert row.columns == {"place": place}
        assert not row.trained_tokens
        assert text(row.row, learnt=False).endswith("<|im_start|>assistant\n")
        prints.append(data.fingerprint["train"]["sha256"])
    for chosen in ("The sky.", "The roof."):
        prints.append(
            built(tokenizer, write(path, {**PAIR, "chosen": chosen}), "preference").fingerprint["train"]["sha256"]
        )
    assert len(set(prints)) == len(prints)


def test_what_is_cut_of_pairs_is_counted_or_left_out_by_name(tokenizer: Any, tmp_path: Path) -> None:
    words = "up " * 40
    path = write(
        tmp_path / "x.jsonl",
        PAIR,
        {**PAIR, "chosen": f"The sky. {words}"},
        {**PAIR, "chosen": f"{words}one", "rejected": f"{words}two"},
        {**PAIR, "prompt": words},
    )
    data = built(tokenizer, path, "preference", max_length=32)
    assert (data.cut_rows, len(data.train)) == (1, 2)
    assert data.cut_tokens == data.train[1].cut > 0
    assert data.dropped == {"difference cut away": 1, "answer cut away": 1}
    prompts = write(tmp_path / "p.jsonl", ASKED, {**ASKED, "prompt": words})
    assert built(tokenizer, prompts, "prompt", max_length=32).dropped == {"prompt too long": 1}


REFUSALS = {
    "pairs to imitate": ("sft", PAIR, "preference pairs", "Set objective=dpo or orpo or simpo or reward"),
    "chats to compare": ("dpo", CHAT, "conversations or text", "Set objective=sft"),
    "chats to judge": ("reward", CHAT, "conversations or text", "preference pairs (prompt, chosen, rejected)"),
    "pairs to mark": ("kto", PAIR, "preference pairs", "labelled answers (prompt, completion, label)"),
    "marks to compare": ("simpo", MARKED, "labelled answers", "Set objective=kto"),
    "prompts to compare": ("orpo", ASKED, "prompts without an answer", "Set objective=grpo"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_rows_for_something_else_are_refused_before_the_start(home: Path, tmp_path: Path, case: str) -> None:
    objective, row, found, step = REFUSALS[case]
    path = write(tmp_path / "x.jsonl", row, {**row, "prompt": "And down?"}, row)
    with pytest.raises(DataError) as refusal:
        preflight.check(with_overrides(RunSpec(), {"path": str(path), "objective": objective, "eval_split": 0}))
    error = refusal.value
    assert error.code == "DATA_OTHER_PURPOSE"
    assert f"3 {found}" in error.cause
    assert step in error.next_step
    assert "\n" not in str(error)


def test_a_few_rows_for_something_else_are_left_out_and_counted(tokenizer: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", PAIR, CHAT, MARKED, {**PAIR, "prompt": "And down?"})
    data = built(tokenizer, path, "preference")
    assert len(data.train) == 2
    assert data.dropped == {"text or conversation among other rows": 1, "labelled completion": 1}


def test_the_bundled_rows_are_there_for_every_objective(home: Path) -> None:
    for objective, purpose in ROWS_OF.items():
        resolved = preflight.check(with_overrides(RunSpec(), {"objective": objective}))
        train, held_out = training_set.data_sets(resolved.data)
        assert held_out is not None
        assert training_set.scanned(train, resolved.data, purpose=purpose).rows >= 240
        keys = [set(training_set.scanned(data, resolved.data, purpose=purpose).keys) for data in (train, held_out)]
        assert not keys[0] & keys[1], "nothing is held out that is trained on"


def test_pairs_are_never_packed_and_a_packing_named_for_them_is_refused(home: Path) -> None:
    from backprop_tui.cli.train import compose

    left = with_overrides(RunSpec(), {"objective": "dpo", "packing": True, "padding_free": True})
    assert preflight.check(left).data.packing is False, "what a preset left behind has no effect"
    for name in ("packing", "padding_free", "train_on"):
        with pytest.raises(UsageError) as refusal:
            compose("dpo", {name: "everything" if name == "train_on" else "on"}, model="demo")
        assert refusal.value.code == "SETTING_WITHOUT_EFFECT"
    with pytest.raises(UsageError) as refusal:
        compose("reward", {"samples": "3"}, model="demo")
    assert refusal.value.code == "SETTING_WITHOUT_EFFECT", "a model that scores says nothing"
    with pytest.raises(UsageError) as refusal:
        compose("dpo", {"multi": "windows"}, model="demo")
    assert "choose objective sft" in refusal.value.cause


def test_every_setting_of_an_objective_is_refused_with_another(home: Path) -> None:
    from backprop_tui.cli.train import compose

    own = {"beta": "dpo", "dpo_loss": "dpo", "desirable_weight": "kto", "undesirable_weight": "kto", "odds_weight": "orpo",
           "simpo_beta": "simpo", "simpo_gamma": "simpo", "center_rewards": "reward", "nll_weight": "simpo"}  # fmt: skip
    for name, objective in own.items():
        value = "ipo" if name == "dpo_loss" else "0.5"
        compose("balanced", {"objective": objective, name: value}, model="demo")
        with pytest.raises(BackpropError) as refusal:
            compose("balanced", {name: value}, model="demo")
        assert refusal.value.code == "SETTING_WITHOUT_EFFECT", name


@settings(max_examples=60, deadline=None)
@given(st.one_of(drawn.preferences(), drawn.unpaired, drawn.prompts, drawn.plain_conversations()), st.integers(8, 200))
def test_rows_are_joined_as_they_are_counted(row: Normalised, most: int) -> None:
    """What the Data screen counts of any row is what a run is handed: the same tokens, learnt and cut, or the same refusal."""
    tokens = ChatTokenizer.load(PLACE) if not _LOADED else _LOADED[0]
    _LOADED[:] = [tokens]
    parts = parts_of(row)
    encoded = tokens.encode_many(
        [(0, part) for part, _ in parts],
        max_length=most,
        train_on="answers",
        given=[given for _, given in parts],
    )
    found = joined(row, encoded)
    (counted,) = tokens.measure_many([row], max_length=most, train_on="answers")
    if isinstance(found, DataError):
        alone = found.code in ("DATA_PAIR_CUT_ALIKE", "DATA_PROMPT_LONG")
        assert alone or (isinstance(counted, DataError) and counted.code == found.code)
        return
    assert isinstance(counted, Measure)
    assert counted.trained == found.trained_tokens
    assert counted.cut == found.cut
    longest = max(len(half) for half in ((found,) if not isinstance(found, (Pair, Noted)) else found.renderings))
    assert counted.tokens == longest
    assert isinstance(found, Pair) == isinstance(row, Preference)
    assert isinstance(found, Noted) == isinstance(row, (Unpaired, PromptOnly))


_LOADED: list[ChatTokenizer] = []


def test_the_fingerprint_of_pairs_is_that_of_the_run_that_learns_from_them(tokenizer: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", PAIR, {**PAIR, "prompt": "And down?"})
    part = DataPart(path=str(path), eval_split=0.0)
    run = training_set.build(part, PLACE, seed=1, purpose="preference", tokenizer=tokenizer).fingerprint
    alone = fingerprint_data(str(path), part, seed=1, model_dir=PLACE)
    assert {name: value for name, value in alone.items() if name != "id"} == run
    assert run["train"]["rows"] == 2
