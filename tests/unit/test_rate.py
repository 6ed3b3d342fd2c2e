"""How many runs may be started within a minute, by how many processes whatsoever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.launch.safety import admit_export, admit_start, resolved_limits
from backprop_tui.launch.start import start_run
from backprop_tui.protocol.errors import TryAgainError, UsageError
from backprop_tui.protocol.parts.safety import SafetyPart
from backprop_tui.store import rate
from backprop_tui.store.layout import list_runs
from tests.support.worker_driver import quick_spec


def test_so_many_a_minute_and_then_the_wait_is_named() -> None:
    for second in (0.0, 10.0, 20.0):
        rate.admit("start", 3, now=1000 + second)
    with pytest.raises(TryAgainError, match="3 runs were started") as refused:
        rate.admit("start", 3, now=1030)
    assert refused.value.code == "RATE_LIMITED"
    assert refused.value.detail["retry_after"] == 30
    assert "30 s" in refused.value.next_step
    rate.admit("export", 3, now=1030)
    rate.admit("start", 3, now=1060.5)
    with pytest.raises(TryAgainError):
        rate.admit("start", 3, now=1061)
    rate.admit("start", 0, now=1061)


def test_asking_is_not_counting_and_another_boot_is_forgotten() -> None:
    for _ in range(9):
        rate.admit("start", 1, count=False, now=5)
    rate.admit("start", 1, now=5)
    # The kernel's clock begins anew with each boot; what lies in its future is of another one.
    rate.admit("start", 1, now=2)
    file = paths.data_dir() / "rate" / "start.json"
    words = json.loads(file.read_bytes())
    file.write_text(json.dumps({**words, "boot": "another"}))
    rate.admit("start", 1, now=3)
    file.write_text("[" * 10_000)
    rate.admit("start", 1, now=3)


def test_many_processes_share_one_count() -> None:
    code = "from backprop_tui.store import rate\ntry:\n rate.admit('start', 5)\n print('in')\nexcept Exception:\n print('out')"
    crowd = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(12)]
    assert sorted(one.communicate()[0].strip() for one in crowd) == ["in"] * 5 + ["out"] * 7


def test_a_start_too_many_is_refused_before_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROP_START_LIMIT", "1")
    monkeypatch.setenv("BACKPROP_EXPORT_LIMIT", "1")
    admit_start(count=True)
    with pytest.raises(TryAgainError, match="1 run was started"):
        start_run(quick_spec())
    assert not list_runs()
    admit_export()
    with pytest.raises(TryAgainError, match="1 result was exported"):
        admit_export()


def test_a_runs_limits_are_its_own_then_the_persons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROP_PAUSE_CELSIUS", "85")
    whole = resolved_limits(SafetyPart(stop_celsius=93))
    assert (whole.warn_celsius, whole.pause_celsius, whole.stop_celsius) == (80, 85, 93)
    assert all(value is not None for _, value in whole)
    with pytest.raises(UsageError, match="never pause") as refused:
        resolved_limits(SafetyPart(stop_celsius=85))
    assert refused.value.code == "SAFETY_ORDER"


def test_links_in_its_place_are_not_followed(tmp_path: Path) -> None:
    place = paths.data_dir() / "rate"
    place.mkdir(parents=True)
    target = tmp_path / "elsewhere"
    (place / "start.lock").symlink_to(target)
    rate.admit("start", 1, now=5)
    assert not target.exists()
