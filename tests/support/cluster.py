"""Slurm's commands as a machine alone can play them: `sbatch` takes a script and really runs it with bash.

They stand on PATH in front of everything else. A job gets the variables a real one has, a signal reaches its shell as
`--signal=B:` sends it, and `scontrol requeue` starts the same script once more.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

JOB = "4711"
_START = """#!/bin/bash
export SLURM_JOB_ID={job} SLURM_JOB_NODELIST=localhost
log=$(sed -n 's/^#SBATCH --output=//p' {place}/job.sh)
echo RUNNING > {place}/state
exec >> "${{log/\\%j/{job}}}" 2>&1 < /dev/null
setsid bash -c 'bash {place}/job.sh & echo $! > {place}/pid; wait $!; echo $? > {place}/code' &
"""
_COMMANDS = {
    "sbatch": """#!/bin/bash
if [ -e {place}/refuses ]; then echo "sbatch: error: invalid partition specified: moon" >&2; exit 1; fi
echo "$*" > {place}/arguments
cat > {place}/job.sh
{place}/start
echo {job}
""",
    "squeue": """#!/bin/bash
[[ "$*" == *%r* ]] && echo "PENDING Priority" || cat {place}/state
""",
    "scontrol": """#!/bin/bash
case "$1" in
show) echo localhost ;;
requeue) echo "$2" >> {place}/requeued; exec {place}/start ;;
esac
""",
    "srun": """#!/bin/bash
while [[ "$1" == --* ]]; do [[ "$1" == --ntasks=* ]] && count=${{1#--ntasks=}}; shift; done
for ((number = 0; number < count; number++)); do SLURM_PROCID=$number "$@" & done
wait
""",
}


class Cluster:
    """The commands in a directory of their own, and what they noted.

    Attributes:
        path: value for PATH.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        place.mkdir()
        for name, script in {**_COMMANDS, "start": _START}.items():
            command = place / name
            command.write_text(script.format(place=place, job=JOB))
            command.chmod(0o755)
        self.path = f"{place}{os.pathsep}{os.environ['PATH']}"

    def refuse(self) -> None:
        """From now on no job is taken."""
        (self._place / "refuses").touch()

    @property
    def submitted(self) -> str | None:
        """The script of the job, if there is one."""
        script = self._place / "job.sh"
        return script.read_text() if script.exists() else None

    @property
    def requeued(self) -> int:
        """How often the job went back into the queue."""
        noted = self._place / "requeued"
        return len(noted.read_text().splitlines()) if noted.exists() else 0

    @property
    def code(self) -> int | None:
        """Exit code of the job's last life; None while it lives."""
        noted = self._place / "code"
        return int(noted.read_text()) if noted.exists() and noted.read_text() else None

    def time_is_almost_over(self) -> None:
        """Tell the job's shell, as Slurm does before the time limit."""
        os.kill(int((self._place / "pid").read_text()), signal.SIGTERM)

    def cancel(self) -> None:
        """As `scancel` does: the job is marked, then told."""
        (self._place / "state").write_text("COMPLETING\n")
        self.time_is_almost_over()

    def down(self) -> None:
        """End what is left of the job."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self._place / "pid").read_text()), signal.SIGKILL)
