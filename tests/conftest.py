"""Every test gets its own data, config, cache and runtime directories; nothing touches the person's own."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The tests share out the cores among themselves: threads of torch would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: Python's collector of cycles need not look through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private home; short, because a Unix socket's path has at most 107 bytes."""
    # A worker that ran inside a test has chosen its device in the environment of this process.
    before = dict(os.environ)
    place = Path(tempfile.mkdtemp(prefix="bp-"))
    for kind in ("DATA", "CONFIG", "CACHE", "RUNTIME"):
        sub = place / kind.lower()
        sub.mkdir(mode=0o700)
        monkeypatch.setenv(f"BACKPROP_{kind}_DIR", str(sub))
    monkeypatch.delenv("NO_COLOR", raising=False)
    # Tests start runs faster than people do.
    monkeypatch.setenv("BACKPROP_START_LIMIT", "0")
    monkeypatch.setenv("BACKPROP_EXPORT_LIMIT", "0")
    yield place
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(place, ignore_errors=True)
