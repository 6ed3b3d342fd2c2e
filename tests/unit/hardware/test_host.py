from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from backprop_tui.hardware.host import HostSampler


def test_first_processor_reading_is_unknown_not_zero(tmp_path: Path) -> None:
    sampler = HostSampler(tmp_path / "not" / "yet", cgroup=tmp_path)
    assert sampler.read()["cpu"] is None
    later = sampler.read(os.getpid())
    assert later["cpu"] is not None
    assert later["worker_rss"] is not None
    assert later["worker_rss"] > 5_000_000
    assert later["disk_free"]
    assert later["memory_total"]


def test_a_worker_that_ended_has_no_memory(tmp_path: Path) -> None:
    sampler = HostSampler(tmp_path, cgroup=tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert sampler.read(child.pid)["worker_rss"]
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        # Dead but not yet reaped: a zombie has no memory either.
        assert sampler.read(child.pid)["worker_rss"] is None
    assert sampler.read(child.pid)["worker_rss"] is None


def test_a_containers_limit_is_the_memory_there_is(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 200000\n")
    reading = HostSampler(tmp_path, cgroup=tmp_path).read()
    assert (reading["memory_used"], reading["memory_total"]) == (500_000, 1_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert (HostSampler(tmp_path, cgroup=tmp_path).read()["memory_total"] or 0) > 1_000_000
