from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from backprop_tui.hardware import extras
from backprop_tui.hardware.doctor import Check, examine
from backprop_tui.protocol.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[3]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_floors_are_those_of_pyproject() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, floors in extras.FLOORS.items():
        written = {line.split(";")[0].strip() for line in stated[extra]}
        assert written == {f"{name}>={floor}" for name, floor in floors.items()}


def test_every_finding_that_is_not_ok_names_a_next_step(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROP_THEEM", "x")
    (home / "config" / "settings.toml").write_text("theme = [")
    (home / "runtime").chmod(0o755)
    checks = examine({"TERM": "dumb", "LANG": "C"})
    found = by_name(checks)
    assert all(check.next_step for check in checks if check.level != "ok")
    assert found["runtime"].level == "fail"
    assert found["settings"].level == "fail"
    assert found["terminal"].level == "warn"
    assert found["characters"].level == "warn"
    assert "BACKPROP_THEEM" in found["environment"].found


def test_a_healthy_terminal_is_ok() -> None:
    found = by_name(examine({"TERM": "xterm-256color", "LANG": "en_GB.UTF-8", "COLORTERM": "truecolor"}))
    assert found["terminal"].level == found["characters"].level == found["runtime"].level == "ok"


@pytest.mark.parametrize(
    ("version", "floor", "low"),
    [("2.9.1+cpu", "2.10", True), ("2.10.0", "2.10", False), ("5.3.0.dev0", "5.3", False), ("10.0", "9.9", False)],
)
def test_versions_compare_by_number(version: str, floor: str, low: bool) -> None:
    assert extras.below(version, floor) is low


def test_a_missing_extra_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.FLOORS, "train", {"no_such_package_of_ours": "1", "json": "1"})
    with pytest.raises(UnavailableError) as caught:
        extras.require("train")
    assert caught.value.exit_code == 69
    assert caught.value.detail["missing"] == ["no_such_package_of_ours"]
    assert "pip install 'backprop-tui[train]'" in caught.value.next_step
