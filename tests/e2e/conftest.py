from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.data_cli import chat, write
from tests.support.engines import no_engine_left


@pytest.fixture(autouse=True)
def _tidy(home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with no_engine_left():
        yield


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """Twenty chats in odd spelling, one of them twice, a broken line and a row of no format."""
    rows: list[Any] = [chat(n, group=n // 5, score=n / 2, big=10**30 + n) for n in range(20)]
    return write(tmp_path / "chats.jsonl", [*rows, '{"messages" :[', {"x": 1}, chat(3, group=0, score=1.5), "  "])
