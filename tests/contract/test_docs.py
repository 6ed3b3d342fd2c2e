"""What the documentation tells people to type works as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BACKPROP = [sys.executable, "-m", "backprop_tui.cli"]


def commands(page: Path) -> list[str]:
    """The lines after `$ ` in a page's console blocks, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


PAGES = ["data.md", *sorted(f"handbook/{page.name}" for page in (ROOT / "docs" / "handbook").glob("[a-z]*.md"))]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_work_one_after_the_other(page: str, tmp_path: Path) -> None:
    lines = commands(ROOT / "docs" / page)
    assert len(lines) >= 3
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "backprop"
        done = subprocess.run(
            [*BACKPROP, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (line, done.stdout[-2000:], done.stderr[-2000:])
        assert "Traceback" not in done.stderr
