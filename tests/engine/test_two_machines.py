"""Two machines train one run: network namespaces with a cable between them, each with torchrun's real agent.

One loses its processes; the other goes on from the checkpoint once it has joined again, and both finish.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backprop_tui.launch.join import join_run
from backprop_tui.protocol.errors import UsageError
from backprop_tui.store.layout import RunDir, list_runs
from tests.support.engines import at_step, events, eventually, over
from tests.support.worker_driver import QUICK, new_run

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(240)]
FIRST, SECOND = f"bp{os.getpid() % 10000}a", f"bp{os.getpid() % 10000}b"


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def machines() -> Iterator[tuple[list[str], list[str]]]:
    """How to run something on each of two machines; skipped where the kernel does not let us make them."""
    if shutil.which("ip") is None or not _ip("netns", "add", FIRST):
        pytest.skip("network namespaces need root and the package iproute2")
    try:
        assert _ip("netns", "add", SECOND)
        assert _ip("link", "add", f"{FIRST}v", "type", "veth", "peer", "name", f"{SECOND}v")
        for name, address in ((FIRST, "10.99.7.1/24"), (SECOND, "10.99.7.2/24")):
            assert _ip("link", "set", f"{name}v", "netns", name)
            assert _ip("-n", name, "addr", "add", address, "dev", f"{name}v")
            assert all(_ip("-n", name, "link", "set", device, "up") for device in (f"{name}v", "lo"))
        yield tuple(  # type: ignore[misc]
            [
                "ip",
                "netns",
                "exec",
                name,
                "env",
                f"GLOO_SOCKET_IFNAME={name}v",
                sys.executable,
                "-m",
                "backprop_tui.cli",
            ]
            for name in (FIRST, SECOND)
        )
    finally:
        for name in (FIRST, SECOND):
            _ip("netns", "del", name)


def _agent_of(join: subprocess.Popen[bytes]) -> int | None:
    children = Path(f"/proc/{join.pid}/task/{join.pid}/children").read_text().split()
    return int(children[0]) if children else None


def test_one_of_two_machines_is_lost_and_both_finish(machines: tuple[list[str], list[str]]) -> None:
    first, second = machines
    settings = {
        **QUICK, "nodes": 2, "devices": 1, "device": "cpu", "rendezvous": "10.99.7.1:29511", "peer_wait_s": 60, "steps": 120,
        "save_every": 20, "eval_split": 0, "schedule": "constant",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    subprocess.run([*first, "train", "demo", "-p", "demo", "--detach", *words], check=True, capture_output=True)
    (run,) = list_runs()
    # `ip netns exec` and `env` become the program itself, so this is the process that joins.
    join = subprocess.Popen([*second, "join", run.short_id, "--node", "1"], stderr=subprocess.PIPE)
    at_step(run, 25, 120)
    plan = events(run, "plan")[0].data
    assert (plan["processes"], plan["machines"]) == (2, 2)
    agent = eventually(lambda: _agent_of(join))
    os.killpg(agent, signal.SIGKILL)
    eventually(lambda: len(events(run, "attempt")) == 2, 90, "another attempt")
    assert "PROCESS_LOST" in [event.data["code"] for event in events(run, "alert")]
    resumed = events(run, "attempt")[-1].data["resume_step"]
    assert resumed >= 20
    end = over(run, 120)[-1].data
    assert (end["outcome"], end["step"]) == ("completed", 120)
    attempts = {event.attempt for event in events(run, "step")}
    assert attempts == {1, 2}
    assert [event.data["step"] for event in events(run, "step") if event.attempt == 2] == list(range(resumed + 1, 121))
    assert join.wait(60) == 0
    assert join.stderr is not None
    assert b"joins once more" in join.stderr.read()


def _shared(**settings: object) -> RunDir:
    return new_run(device="cpu", **settings)


def test_who_can_not_take_part_is_told_why() -> None:
    with pytest.raises(UsageError, match="trains on one machine"):
        join_run(_shared(), 1)
    run = _shared(nodes=3, rendezvous="127.0.0.1:29512")
    with pytest.raises(UsageError, match="has no machine 3"):
        join_run(run, 3)
    with pytest.raises(UsageError, match="has no machine 0"):
        join_run(run, 0)
