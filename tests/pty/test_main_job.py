"""The whole main job with the keyboard alone, in a real terminal, on a real run: pick, tune, launch, watch, steer, leave,
come back, stop, see the result."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backprop_tui.protocol.fields import validate_spec
from backprop_tui.store.layout import find_run
from tests.support.engines import no_engine_left
from tests.support.terminal import BACKPROP, Terminal

pytestmark = [pytest.mark.train, pytest.mark.pty, pytest.mark.timeout(240)]

ENTER, ESCAPE, BACK_TAB, CLEAR_LINE = "\r", "\x1b", "\x1b[Z", "\x15"


@pytest.fixture(autouse=True)
def engines() -> Iterator[None]:
    with no_engine_left():
        yield


def test_pick_tune_launch_watch_steer_leave_return_stop() -> None:
    with Terminal([BACKPROP]) as app:
        # Pick: the bundled data, row by row, as the model sees it.
        app.wait_for(r"row 1 of 458")
        app.wait_for(r"as the model sees it")
        app.send(ENTER)

        # Tune: the demo preset, a longer run, a difference shown.
        app.wait_for(r"\[2 Tune\]")
        app.send(BACK_TAB)
        app.wait_for(r"▸ preset ")
        app.send("jj")
        app.wait_for(r"max length +128 tokens")
        # In one burst, as a slow link delivers it: find the setting, open it, replace its value.
        app.send("/steps" + ENTER + ENTER + CLEAR_LINE + "100000" + ENTER)
        app.wait_for(r"● +steps +100000|● +steps +100,000")
        app.wait_for(r"checks ─+ ready ─", timeout=30)
        app.send("g")
        app.wait_for(r"Launch this run")
        app.send(ENTER)

        # Watch: a falling curve and live figures.
        app.wait_for(r"● running", timeout=60)
        app.wait_for(r"train loss +\d")
        app.wait_for(r"no NVIDIA driver|°C")

        # Steer.
        app.send("p")
        app.wait_for(r"‖ paused")
        app.send("s")
        app.wait_for(r"last save +step \d+")
        app.send("p")
        app.wait_for(r"● running")
        app.send("e")
        app.wait_for(r"eval step=(?!0 |20 )")
        app.send("l")
        app.wait_for(r"[Ll]earning rate")
        app.send(CLEAR_LINE + "3e-5" + ENTER)
        app.wait_for(r"lr +3\.\d*e-5|lr +2\.9\d*e-5")

        # Leave: the run goes on, and the words say how to come back.
        app.send("q")
        app.wait_for(r"backprop attach \w{4}")
        assert app.wait() == 0
        assert b"\x1b[?1049l" in app.raw

    run = find_run(None)
    with Terminal([BACKPROP, "attach", run.short_id], columns=80, rows=24) as app:
        app.wait_for(r"● running", timeout=30)
        app.send("x")
        app.wait_for(r"▌ +(Esc +)?(Keep|Cancel|Go on|Leave it)")
        app.send("s")
        app.wait_for(r"■ stopped", timeout=60)
        app.send("4")
        app.wait_for(rf"■ stopped +{run.short_id}")
        app.send("q")
        assert app.wait() == 0

    spec = validate_spec(run.read_spec())
    assert (spec.preset, spec.optim.steps) == ("demo", 100_000)
