from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from backprop_tui.config import recent
from backprop_tui.config.settings import (
    dotenv_file,
    drop_setting,
    load_settings,
    save_setting,
    settings_file,
    sources,
    unknown_variables,
)
from backprop_tui.config.settings_info import EFFECTS, settings_info, shown
from backprop_tui.protocol.errors import UnavailableError, UsageError


def dotenv(text: str, mode: int = 0o600) -> Path:
    file = dotenv_file()
    file.write_text(text)
    file.chmod(mode)
    return file


def test_environment_beats_dotenv_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_file().write_text('theme = "from-file"\nprofile = "low"\npreset = "fast"\n')
    dotenv("BACKPROP_PROFILE=ssh\nBACKPROP_THEME=from-dotenv\nHF_TOKEN=hf_secret\n")
    monkeypatch.setenv("BACKPROP_THEME", "from-environment")
    settings = load_settings()
    assert (settings.theme, settings.profile, settings.preset, settings.model) == (
        "from-environment",
        "ssh",
        "fast",
        "demo",
    )
    origin = sources()
    assert origin["theme"] == "BACKPROP_THEME"
    assert origin["profile"] == str(dotenv_file())
    assert origin["preset"] == str(settings_file())
    assert origin["model"] == "default"


def test_a_dotenv_in_the_working_directory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("BACKPROP_THEME=evil\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().theme == "backprop-dark"


def test_a_dotenv_others_can_read_is_refused() -> None:
    dotenv("BACKPROP_THEME=x\n", 0o640)
    with pytest.raises(UnavailableError, match="chmod 600"):
        load_settings()


@pytest.mark.parametrize("where", ["toml", "dotenv"])
def test_an_unknown_key_is_one_line_with_the_nearest_match(where: str) -> None:
    if where == "toml":
        settings_file().write_text('thme = "x"\n')
    else:
        dotenv("BACKPROP_THME=x\n")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert caught.value.code == "CONFIG_UNKNOWN_KEY"
    assert "`theme`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["theme = [", 'profile = "slow"\n', "ascii = 3\n", "theme = \xff"])
def test_a_bad_file_is_one_line(text: str) -> None:
    settings_file().write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert caught.value.code == "CONFIG_INVALID"
    assert "\n" not in str(caught.value)


def test_saving_keeps_comments_and_other_keys() -> None:
    settings_file().write_text('# mine\ntheme = "a"  # nice\n\n[keys]\n"run.stop" = "X"\n')
    save_setting("theme", 'b"\\\n')
    assert "# mine" in settings_file().read_text()
    assert load_settings().theme == 'b"\\\n'
    save_setting("ascii", "true")
    settings = load_settings()
    assert settings.ascii is True
    assert settings.keys == {"run.stop": "X"}


def test_saving_nonsense_changes_nothing() -> None:
    save_setting("theme", "a")
    before = settings_file().read_bytes()
    for key, value in (("profile", "slow"), ("thme", "x"), ("ascii", "perhaps"), ("keys", "x")):
        with pytest.raises(UsageError):
            save_setting(key, value)
    assert settings_file().read_bytes() == before


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROP_THEEM", "x")
    assert unknown_variables() == ["BACKPROP_THEEM"]


def test_recent_remembers_newest_first_and_forgets_the_rest(home: Path) -> None:
    for name in [*map(str, range(20)), "3"]:
        recent.remember("data", name)
    assert recent.recent("data")[:3] == ["3", "19", "18"]
    assert len(recent.recent("data")) == 12
    assert recent.recent("model") == []
    (home / "cache" / "recent.json").write_text("[")
    assert recent.recent("data") == []


def test_a_setting_is_taken_out_again_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text('# mine\nprofile = "low"  # slow line\nlater_version = 3\n')
    settings_file().symlink_to(real)
    save_setting("profile", "ssh")
    assert settings_file().is_symlink()
    assert real.read_text() == '# mine\nprofile = "ssh"  # slow line\nlater_version = 3\n'
    drop_setting("profile")
    assert real.read_text() == "# mine\nlater_version = 3\n"


class _Bounded(BaseModel):
    size: int = Field(default=3, ge=1, le=9, description="how many")
    words: str = Field(default="", max_length=5)


def test_what_a_setting_may_be_is_read_from_its_field() -> None:
    size, words = settings_info(_Bounded)
    assert (size.kind, size.bounds, size.help) == ("number", "a number, 1 to 9", "how many")
    assert (words.kind, words.bounds) == ("text", "a text, at most 5 characters")


def test_every_setting_says_what_it_is_and_when_it_counts() -> None:
    for info in settings_info():
        assert info.help
        assert info.effect in EFFECTS
        assert info.group
        assert info.bounds
        assert shown(info.default)
