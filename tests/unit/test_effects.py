"""Settings that do nothing: known, told in words, refused when somebody asks for one."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.protocol.effects import applies, conditions, refuse_without_effect, without_effect
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import find_setting, settings, with_overrides
from backprop_tui.protocol.spec import RunSpec


def spec(**overrides: Any) -> RunSpec:
    return with_overrides(RunSpec(), overrides)


def test_every_condition_names_real_settings_and_values_and_none_goes_in_a_circle() -> None:
    for setting in settings():
        for condition in conditions(setting.when):
            other = find_setting(condition.key)
            assert other.key == condition.key, setting.key
            if other.kind == "choice":
                assert set(condition.values) <= set(other.choices), (setting.key, condition)
            if other.kind == "bool":
                assert set(condition.values) <= {"on", "off"}, (setting.key, condition)
        assert applies(setting, RunSpec()) in (True, False)


@pytest.mark.parametrize(
    ("key", "overrides", "counts"),
    [
        ("rank", {}, True),
        ("rank", {"method": "qlora"}, True),
        ("rank", {"method": "full"}, False),
        ("quantization", {}, False),
        ("quantization", {"method": "qlora"}, True),
        ("adapter_start", {"dora": True}, False),
        ("min_lr_ratio", {"schedule": "linear"}, False),
        ("restarts", {"schedule": "cosine_restarts"}, True),
        ("near_threshold", {"duplicates": "exact"}, False),
        ("difficulty", {"order": "curriculum"}, True),
        ("padding_free", {"packing": True}, False),
        ("epochs", {"steps": 5}, False),
        ("sample_tokens", {"samples": 0}, False),
        ("eval_split", {"eval_path": "held.jsonl"}, False),
        ("epsilon", {"optimizer": "lion_32bit"}, False),
        ("beta1", {"optimizer": "sgd"}, False),
    ],
)
def test_where_a_setting_counts(key: str, overrides: dict[str, Any], counts: bool) -> None:
    assert applies(find_setting(key), spec(**overrides)) is counts


def test_a_condition_on_a_setting_that_does_nothing_itself_is_not_met() -> None:
    # PiSSA needs lora without DoRA; with all weights trained DoRA is off and means nothing.
    assert without_effect(find_setting("adapter_start"), spec(method="full")) == "method is lora and dora is off"


def test_what_was_given_by_name_is_refused_and_what_was_inherited_is_not() -> None:
    full = spec(method="full", rank=8)
    refuse_without_effect(full, ["method"])
    with pytest.raises(UsageError) as caught:
        refuse_without_effect(full, ["method", "rank"])
    assert caught.value.code == "SETTING_WITHOUT_EFFECT"
    assert "rank" in caught.value.cause
    assert "method is lora or qlora" in caught.value.cause
    assert "\n" not in str(caught.value)


def test_a_run_from_before_there_were_levels_of_recomputation_still_reads() -> None:
    for word, level in ((True, "full"), (False, "off"), ("on", "full"), ("off", "off"), ("every-2nd", "every-2nd")):
        assert spec(gradient_checkpointing=word).optim.gradient_checkpointing == level
    with pytest.raises(UsageError, match="SETTING_INVALID"):
        spec(gradient_checkpointing=["full"])


def test_a_fork_is_held_to_it_as_well() -> None:
    from backprop_tui.launch.fork import child_spec

    with pytest.raises(UsageError, match="SETTING_WITHOUT_EFFECT"):
        child_spec(spec(schedule="linear"), {"lr_power": 3.0})
    assert child_spec(spec(schedule="linear"), {"schedule": "polynomial", "lr_power": 3.0}).optim.lr_power == 3.0
