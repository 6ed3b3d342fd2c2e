"""A disk that is nearly full, for real: the run pauses before it writes a checkpoint, and saves once there is room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.train

#: In a private mount: a disk of 60 MB of which something else takes all but 12.
SCRIPT = """
import os, sys
from pathlib import Path
from backprop_tui.store import checkpoints
from tests.support.worker_driver import WorkerThread, new_run

disk = Path(os.environ["BACKPROP_DATA_DIR"])
run = new_run(steps=4, save_every=2)
(disk / "filler").write_bytes(b"x" * (48 << 20))
with WorkerThread(run) as worker:
    paused = worker.wait_for("state", state="paused")
    print(worker.of("fault")[0]["cause"])
    print(worker.of("step")[-1]["step"], sorted(os.listdir(run.checkpoints)))
    print(worker.obeyed("checkpoint")["detail"])
    (disk / "filler").unlink()
    worker.obeyed("resume")
    print(worker.ended()["outcome"])
print([info.step for info in checkpoints.list_checkpoints(run) if checkpoints.verify(info.path) is None])
"""


def test_the_run_pauses_before_the_save_and_not_after_a_failed_one(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = f'mount -t tmpfs -o size=60m none "{disk}" && BACKPROP_DATA_DIR="{disk}" exec "$0" -c "$1"'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, sys.executable, SCRIPT],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if result.stderr.startswith(("unshare:", "mount:")):
        pytest.skip("no private mounts here")
    lines = result.stdout.splitlines()
    assert len(lines) == 5, result.stderr
    assert lines[0].startswith("A checkpoint needs ")
    assert " MB are free in " in lines[0]
    asked_for = "There is no room for a checkpoint."
    assert lines[1:] == ["2 []", asked_for, "completed", "[2, 4]"], "nothing was begun before there was room"
