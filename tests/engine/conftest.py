from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import no_engine_left


@pytest.fixture(autouse=True)
def _tidy(home: object) -> Iterator[None]:
    with no_engine_left():
        yield
