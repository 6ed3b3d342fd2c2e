"""Tune shows only what counts, says what suits the model and the rows, and never traps anybody between two methods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.draft import Draft
from backprop_tui.app.screens.tune_words import form_fields
from backprop_tui.cli.train import compose
from backprop_tui.config.advice import Sizes
from backprop_tui.config.presets import load_presets
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import RunSpec
from tests.ui.helpers import screen_text, shows, type_text, until


def shown(*, advanced: bool = True, **overrides: object) -> dict[str, str]:
    """The form's keys and their sections."""
    spec = with_overrides(RunSpec(), overrides)
    return {field.key: field.section for field in form_fields(spec, RunSpec(), advanced=advanced)[0]}


def test_fields_and_sections_that_would_do_nothing_are_not_shown() -> None:
    adapter = shown()
    assert {"rank", "dora", "lora_plus", "adapter_start"} <= set(adapter)
    assert "quantization" not in adapter
    assert {"quantization"} <= set(shown(method="qlora"))
    assert "adapter_start" not in shown(method="qlora")
    everything = shown(method="full")
    assert "adapter" not in everything.values(), "the section went with its fields"
    assert "restarts" not in adapter
    assert "restarts" in shown(schedule="cosine_restarts")
    assert "epochs" not in shown(steps=10)


def test_a_change_that_does_nothing_now_comes_back_with_what_it_needs() -> None:
    draft = Draft()
    draft.set("rank", 8)
    draft.set("method", "full")
    # Its rate goes along, since the preset leaves that to advice; the rank means nothing here.
    assert [setting.key for setting, _, _ in draft.differences()] == ["method", "learning_rate"]
    assert draft.spec().model.method == "full"
    draft.set("method", "lora")
    assert [(setting.key, value) for setting, _, value in draft.differences()] == [("rank", 8)]
    draft.set("schedule", "polynomial")
    draft.set("lr_power", 3.0)
    draft.set("schedule", "linear")
    assert "lr_power" not in {setting.key for setting, _, _ in draft.differences()}
    assert draft.undo()
    assert draft.spec().optim.lr_power == 3.0


def test_the_rank_a_preset_leaves_to_advice_follows_what_is_known_of_these_rows() -> None:
    draft = Draft(preset="quality")
    sizes = Sizes(width=3584, family="qwen2", parameters=7 * 10**9, per_rank=2_523_136, learnt=200_000_000)
    assert draft.spec().lora.rank == 64
    assert draft.learn(sizes)
    assert draft.spec().lora.rank == 128
    assert draft.differences() == [], "advice is the preset's own value"
    assert not draft.learn(sizes), "nothing new"
    draft.set("rank", 8)
    assert not draft.learn(replace(sizes, learnt=10**9))
    assert draft.spec().lora.rank == 8
    draft.reset()
    draft.use_data("/another.jsonl")
    assert draft.spec().lora.rank == 64, "what was known was of other rows"


def test_a_setting_given_by_name_that_would_do_nothing_is_refused_by_the_shell() -> None:
    with pytest.raises(UsageError) as caught:
        compose("full", {"path": "demo", "rank": "8"}, model="demo")
    assert caught.value.code == "SETTING_WITHOUT_EFFECT"
    assert compose("full", {"path": "demo", "method": "lora", "rank": "8"}, model="demo").lora.rank == 8
    assert compose("balanced", {"path": "demo", "method": "full"}, model="demo").lora.rank == 32, "inherited is fine"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_preset_is_reached_by_keys_and_stands_in_view(size: tuple[int, int]) -> None:
    app = BackpropApp("tune")
    names = list(load_presets())
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "as in the preset")
        await pilot.press("shift+tab")
        await pilot.press("home")
        seen = []
        for name in names:
            await until(pilot, lambda name=name: app.draft.preset == name)
            seen.append(name[:12] in screen_text(app))
            await pilot.press("down")
        assert all(seen), dict(zip(names, seen, strict=True))


async def test_the_help_line_says_what_suits_this_model_and_these_rows() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(160, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await type_text(pilot, "/learning")
        await pilot.press("enter")
        await shows(pilot, "5.0e-4 suits an adapter on a model 128 wide")
        await type_text(pilot, "/rank")
        await pilot.press("enter")
        await shows(pilot, "tokens to learn")
        await shows(pilot, "Tinker's rule of size")


async def test_searching_for_what_does_nothing_says_what_it_needs() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await type_text(pilot, "/base bits")
        await pilot.press("enter")
        await shows(pilot, "base bits counts only where method is qlora.")
