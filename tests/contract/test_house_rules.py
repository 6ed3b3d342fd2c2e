"""The rules of the house, checked by the tools a contributor runs by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], ["lint-imports"]],
    ids=["ruff", "format", "mypy", "import-linter"],
)
def test_tool_is_content(command: list[str]) -> None:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_files_hold_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "backprop_tui").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert not long


def test_ci_runs_the_readme_line() -> None:
    lines = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(lines) == 2
    assert lines[0].endswith("&& .venv/bin/backprop demo")
    assert lines[1].endswith("&& .venv/bin/pytest -n 2 --dist loadfile")
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -E '([^']+)'", script)
    assert pattern is not None
    assert [line for line in lines if re.search(pattern.group(1), line)] == [lines[1]]


def test_constraints_cover_the_training_stack() -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )
    assert {"torch", "transformers", "trl", "peft", "datasets", "bitsandbytes", "textual"} <= pins.keys()
