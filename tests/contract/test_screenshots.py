"""The pictures that are committed show the app as it is; the recording plays."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from pathlib import Path

import pyte
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "screenshots"
MAKE = "python screenshots/make.py"
CAST = FOLDER / "demo.cast"


def drawn(svg: Path) -> str:
    """A picture as text without what fonts and libraries decide: what is written, where, and in which colour."""
    text = re.sub(r"terminal-\d+", "terminal", svg.read_text(encoding="utf-8"))
    return re.sub(r"@font-face \{.*?\}|font-family:[^;]*;", "", text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pictures_are_current(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "make.py"), "--no-png", "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=880, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    new = {file.name: drawn(file) for file in tmp_path.glob("*.svg")}
    old = {file.name: drawn(file) for file in FOLDER.glob("*.svg")}
    assert new.keys() == old.keys(), f"`{MAKE}` draws other pictures: {sorted(new.keys() ^ old.keys())}"
    stale = sorted(name for name in new if new[name] != old[name])
    if stale:
        pieces = [text.replace("><", ">\n<").splitlines() for text in (old[stale[0]], new[stale[0]])]
        difference = "\n".join(list(difflib.unified_diff(*pieces, lineterm="", n=0))[:12])
        pytest.fail(f"run `{MAKE}`: {len(stale)} pictures are old, {', '.join(stale[:5])} …\n{difference[:2000]}")


def test_every_screen_is_pictured_in_every_size_and_theme() -> None:
    names = {"data", "tune", "plan", "run", "dpo", "multi", "matrix", "samples", "runs", "checkpoints", "compare"}
    names |= {"settings", "help", "queue"}
    themes = {"backprop-dark", "backprop-light", "high-contrast", "terminal", "mono"}
    wanted = {f"{name}-{size}-{theme}" for name in names for size in ("120x40", "80x24") for theme in themes}
    for kind in ("svg", "png"):
        assert {file.stem for file in FOLDER.glob(f"*.{kind}")} == wanted, kind
    assert all(file.stat().st_size < 250_000 for file in FOLDER.glob("*.png"))


def test_the_recording_plays_to_its_end() -> None:
    lines = CAST.read_text(encoding="utf-8").splitlines()
    assert CAST.stat().st_size < 300_000
    head = json.loads(lines[0])
    assert head["version"] == 2
    screen = pyte.Screen(head["width"], head["height"])
    stream = pyte.Stream(screen)
    seen, last = [], 0.0
    for line in lines[1:]:
        at, kind, data = json.loads(line)
        assert kind == "o"
        assert at >= last
        last = at
        stream.feed(data)
        seen.append("\n".join(screen.display))
    assert 10 < last < 120
    for wanted in (r"row 1 of 458", r"Launch this run", r"● running", r"✓ completed", r"Fair winds!"):
        assert any(re.search(wanted, text) for text in seen), wanted
    assert "✓ completed" in seen[-1]
    assert str(Path.home()) not in CAST.read_text() or str(Path.home()) == "/"
