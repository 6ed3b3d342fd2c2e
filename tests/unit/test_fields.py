"""Settings by name: parsing, bounds, nearest names, differences."""

from __future__ import annotations

import pytest

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import (
    differences,
    find_setting,
    format_value,
    parse_value,
    settings,
    validate_spec,
    with_overrides,
)
from backprop_tui.protocol.spec import RunSpec


def test_leaf_names_and_aliases_are_unique() -> None:
    names = [s.key for s in settings()] + [s.alias for s in settings() if s.alias]
    assert len(names) == len(set(names))


def test_every_setting_explains_itself_and_round_trips() -> None:
    spec = RunSpec()
    for setting in settings():
        assert setting.help, setting.key
        assert setting.title, setting.key
        value = setting.get(spec)
        if value not in (None, ""):
            assert setting.get(with_overrides(spec, {setting.key: str(value)})) == value, setting.key


@pytest.mark.parametrize(
    ("name", "key"), [("lr", "learning_rate"), ("optim.learning_rate", "learning_rate"), ("batch-size", "batch_size")]
)
def test_names_people_type(name: str, key: str) -> None:
    assert find_setting(name).key == key


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        with_overrides(RunSpec(), {"lerning_rate": "1e-4"})
    assert caught.value.code == "SETTING_UNKNOWN"
    assert "learning_rate" in caught.value.next_step


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("rank", "0", "at least 1|from 1"),
        ("rank", "8.5", "from 1"),
        ("lr", "fast", "number"),
        ("lr", "0", "learning_rate"),
        ("method", "lorra", "lora"),
        ("packing", "maybe", "on or off"),
        ("epochs", "inf", "epochs"),
        ("rank", "inf", "rank"),
    ],
)
def test_bad_values_are_one_line(name: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_overrides(RunSpec(), {name: text})
    line = str(caught.value)
    assert caught.value.code == "SETTING_INVALID"
    assert "\n" not in line
    assert any(word in line for word in words.split("|"))


def test_people_write_numbers_in_many_ways() -> None:
    assert parse_value(find_setting("eval_split"), "5%") == pytest.approx(0.05)
    assert parse_value(find_setting("max_length"), "4,096") == 4096
    assert parse_value(find_setting("packing"), "ON") is True
    assert parse_value(find_setting("revision"), "none") is None


def test_formats_round_trip_for_numbers() -> None:
    for key, value in (("learning_rate", 2e-4), ("learning_rate", 1.84e-4), ("warmup", 0.03), ("eval_every", 250.0)):
        setting = find_setting(key)
        assert parse_value(setting, format_value(setting, value)) == pytest.approx(value)


def test_differences_name_both_values() -> None:
    base = RunSpec()
    changed = with_overrides(base, {"lr": "1e-4", "epochs": "3"})
    assert [(s.key, before, after) for s, before, after in differences(changed, base)] == [
        ("learning_rate", 2e-4, 1e-4),
        ("epochs", 1.0, 3.0),
    ]


def test_unknown_keys_in_a_file_are_refused() -> None:
    with pytest.raises(UsageError, match="SETTING_UNKNOWN"):
        validate_spec({"optim": {"lerning_rate": 1e-4}})


def test_titles_are_made_when_not_given() -> None:
    assert (
        with_overrides(RunSpec(), {"base": "/models/Qwen3-8B/", "method": "qlora", "rank": 16}).title
        == "qwen3-8b-qlora-r16"
    )
    assert with_overrides(RunSpec(), {"name": "mine"}).title == "mine"
