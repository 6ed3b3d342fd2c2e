from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import no_engine_left


@pytest.fixture(autouse=True)
def _tidy(home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with no_engine_left():
        yield
