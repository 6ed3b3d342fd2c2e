"""The draft: nothing typed is lost, values that do not fit change nothing, and a preset saved is the preset loaded."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.app.draft import Draft
from backprop_tui.app.draft_presets import check_preset_name
from backprop_tui.app.ladder import adjust
from backprop_tui.config.presets import load_presets, preset_spec
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import Setting, settings
from backprop_tui.protocol.spec import RunSpec


def test_a_change_shows_as_a_difference_and_the_presets_value_takes_it_back() -> None:
    draft = Draft()
    before = draft.spec().lora.rank
    draft.set("rank", "64")
    assert [(s.key, old, new) for s, old, new in draft.differences()] == [("rank", before, 64)]
    draft.set("rank", str(before))
    assert draft.differences() == []
    assert draft.overrides == {}


def test_what_does_not_fit_changes_nothing() -> None:
    draft = Draft()
    draft.set("lr", "3e-4")
    for key, text in (("rank", "zero"), ("rank", "0"), ("rang", "8"), ("method", "loro"), ("early_stopping", "-1")):
        with pytest.raises(UsageError):
            draft.set(key, text)
    assert draft.overrides == {"learning_rate": 3e-4}


def test_undo_goes_back_over_everything_and_reset_can_be_undone() -> None:
    draft = Draft()
    draft.set("rank", 8)
    draft.use_data("/d/x.jsonl")
    draft.use_preset("quality")
    draft.set("epochs", 5)
    draft.reset()
    assert draft.overrides == {}
    assert draft.undo()
    assert draft.spec().lora.rank == 8
    assert draft.spec().optim.epochs == 5
    while draft.undo():
        pass
    assert (draft.preset, draft.data, dict(draft.overrides)) == ("balanced", "demo", {})


def test_changes_stay_when_the_preset_changes_and_data_and_model_are_not_changes() -> None:
    draft = Draft()
    draft.use_data("/d/x.jsonl")
    draft.use_model("Qwen/Qwen3-0.6B")
    draft.set("rank", 8)
    draft.use_preset("fast")
    assert [s.key for s, _, _ in draft.differences()] == ["rank"]
    assert draft.spec().data.path == "/d/x.jsonl"
    assert draft.spec().model.base == "Qwen/Qwen3-0.6B"


def test_the_usual_model_and_preset_count_only_before_anything_is_chosen() -> None:
    draft = Draft()
    draft.begin(model="Qwen/Qwen3-0.6B", preset="fast")
    assert (draft.model, draft.preset) == ("Qwen/Qwen3-0.6B", "fast")
    draft.use_preset("quality")
    draft.begin(model="demo", preset="fast")
    assert (draft.model, draft.preset) == ("Qwen/Qwen3-0.6B", "quality")


def test_a_saved_preset_gives_the_same_settings_and_leaves_out_what_belongs_to_one_run() -> None:
    draft = Draft(data="/d/[x].jsonl", model="a/b")
    draft.set("name", "voyage")
    draft.set("rank", 8)
    before = draft.spec()
    file = draft.save_preset("mine")
    words = tomllib.loads(file.read_text())["settings"]
    assert not {"name", "path", "base", "eval_path"} & set(words)
    assert words["learning_rate"] == "advised", "the preset goes on advising where nobody chose a rate"
    assert draft.preset == "mine"
    assert draft.spec() == before.model_copy(update={"preset": "mine"})
    assert not load_presets()["mine"].bundled
    assert preset_spec("mine").lora.rank == 8
    with pytest.raises(UsageError, match="PRESET_EXISTS"):
        draft.save_preset("mine")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 50, "balanced", "a ", "a\x1b"])
def test_a_presets_name_is_plain_and_free(name: str) -> None:
    with pytest.raises(UsageError, match="PRESET_EXISTS" if name == "balanced" else "PRESET_NAME_INVALID"):
        check_preset_name(name)


def test_copied_toml_is_toml_whatever_the_names_hold() -> None:
    draft = Draft(data='/d/"quo\\te\x7f\U0001f600.jsonl')
    words = tomllib.loads(draft.to_toml())
    assert words["settings"]["path"] == '/d/"quo\\te\x7f\U0001f600.jsonl'


@given(st.data())
def test_every_rung_stays_inside_the_bounds_and_leads_back(data: st.DataObject) -> None:
    draft_spec = Draft().spec()
    setting = data.draw(st.sampled_from([s for s in settings() if s.kind in ("int", "float") and not s.optional]))
    value = setting.get(draft_spec)
    for direction in data.draw(st.lists(st.sampled_from([-1, 1]), max_size=40)):
        following = adjust(setting, value, direction)
        assert setting.minimum is None or following >= setting.minimum
        assert setting.maximum is None or following <= setting.maximum
        assert following == value or (following > value) == (direction > 0)
        assert type(following) is (int if setting.kind == "int" else float) or following == value
        value = following


def test_every_fraction_of_every_preset_has_sensible_neighbours() -> None:
    """A step by keys is never a jump: ten times at most, and from nothing to what is usual at least."""
    moved = [setting for setting in settings() if setting.kind == "float" and not setting.optional]
    specs = [preset_spec(name) for name in load_presets()]
    for setting in moved:
        if setting.key == "max_checkpoint_gb":
            continue
        for value in {setting.get(spec) for spec in specs}:
            up = adjust(setting, value, 1)
            assert up <= max(10 * value, 1.0 if value == 0 else 0.0), (setting.key, value, up)
            assert up != value or value == setting.maximum, setting.key
            assert validated(setting, up), (setting.key, up)
            assert validated(setting, adjust(setting, value, -1)), (setting.key, value)


def validated(setting: Setting, value: object) -> bool:
    """Whether the setting's own bounds, open ones as well, take the value."""
    part = RunSpec.model_fields[setting.part].annotation
    assert part is not None
    return bool(part.model_validate({setting.key: value}))


def test_nothing_heavy_is_imported_for_a_draft(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from backprop_tui.app.draft import Draft; Draft().use_data('x'); "
        "print([m for m in ('pydantic', 'pyarrow', 'numpy', 'textual', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
