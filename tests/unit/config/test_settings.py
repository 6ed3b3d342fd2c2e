from __future__ import annotations

from pathlib import Path

import pytest

from backprop_tui.config import recent
from backprop_tui.config.settings import (
    dotenv_file,
    load_settings,
    save_setting,
    settings_file,
    sources,
    unknown_variables,
)
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
