from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui.config import advice, presets
from backprop_tui.protocol.errors import UsageError


def person_preset(home: Path, name: str, text: str) -> Path:
    place = home / "config" / "presets"
    place.mkdir(exist_ok=True)
    file = place / f"{name}.toml"
    file.write_text(text)
    return file


def test_every_bundled_preset_makes_a_spec() -> None:
    bundled = presets.load_presets()
    assert list(bundled)[:3] == ["fast", "balanced", "quality"]
    for name, preset in bundled.items():
        spec = presets.preset_spec(name)
        assert spec.preset == name
        assert preset.about
        assert preset.bundled


@pytest.mark.parametrize(
    ("hidden", "family", "rate"),
    [
        (3584, "qwen2", 4.8e-4),
        (4096, "llama", 2.9e-4),
        (2048, "llama", 4.9e-4),
        (128, "llama", 5e-4),
        (20_000, "llama", 2e-4),
    ],
)
def test_advised_rate_follows_the_models_width(hidden: int, family: str, rate: float) -> None:
    assert advice.advised_learning_rate(hidden, family) == pytest.approx(rate)


def test_advised_rate_is_resolved_from_the_models_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 4096}))
    assert presets.preset_spec("balanced", tmp_path).optim.learning_rate == 2.9e-4
    assert presets.preset_spec("balanced").optim.learning_rate == advice.FALLBACK_RATE
    assert presets.preset_spec("balanced", overrides={"method": "full"}).optim.learning_rate == advice.FULL_RATE
    (tmp_path / "config.json").write_text("{]")
    assert presets.preset_spec("balanced", tmp_path).optim.learning_rate == advice.FALLBACK_RATE


def test_an_override_by_alias_beats_the_preset(tmp_path: Path) -> None:
    spec = presets.preset_spec("balanced", overrides={"lr": "3e-4", "optim.epochs": "5"})
    assert (spec.optim.learning_rate, spec.optim.epochs) == (3e-4, 5.0)


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        presets.find_preset("balnced")
    assert caught.value.code == "PRESET_UNKNOWN"
    assert "balanced" in caught.value.next_step


def test_the_persons_preset_wins_and_a_broken_one_is_named(home: Path) -> None:
    person_preset(home, "fast", "[settings]\nrank = 8\n")
    person_preset(home, "odd", 'titel = "x"\n')
    person_preset(home, "torn", "[settings\n")
    assert presets.preset_spec("fast").lora.rank == 8
    assert not presets.load_presets()["fast"].bundled
    assert {"odd", "torn"}.isdisjoint(presets.load_presets())
    assert len(presets.preset_problems()) == 2
    with pytest.raises(UsageError, match="title"):
        presets.find_preset("odd")


def test_a_misspelt_setting_in_a_preset_names_the_nearest(home: Path) -> None:
    person_preset(home, "mine", "[settings]\nrnak = 8\n")
    with pytest.raises(UsageError) as caught:
        presets.preset_spec("mine")
    assert caught.value.detail["nearest"] == "rank"
