"""What was refused, by its code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backprop_tui.protocol.errors import BackpropError


def code_of(action: Callable[[], object]) -> str:
    """The code of the refusal an action ends in; fails when there is none, or when it says nothing of what to do next."""
    with pytest.raises(BackpropError) as caught:
        action()
    assert caught.value.next_step
    return caught.value.code
