"""`python -P -m backprop_tui.engine.worker.distributed_agent <run dir> [node]`: torchrun, as the host starts it.

torchrun gives its workers none of the pipes it inherited, so the first of them opens the agent's own anew (`inherited`).
A worker that dies takes the attempt with it, and its story is told here: the others only know that somebody is gone.
Starting again is the host's affair, from the last checkpoint, in sight of everybody; torchrun's own restarts stay off.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.engine.worker.distributed import EXIT_FORSAKEN
from backprop_tui.engine.worker_command import ALONE, JOBS_FIRST, JOBS_FIRST_VARIABLE, devices, nodes
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, BackpropError, UnavailableError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir

#: Where workers find the agent's pipes.
AGENT = "BACKPROP_AGENT_PID"
#: Where torchrun reads why a worker failed.
_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
#: How long the workers that are left may take to end once one has failed, in seconds.
_OTHERS_GRACE = 15
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Start a run's workers on this machine and wait for them; returns the exit code."""
    if not arguments:
        sys.stderr.write("The agent is started by the engine host, with a run directory.\n")
        return EXIT_USAGE
    os.umask(0o077)
    run = RunDir(Path(arguments[0]).resolve())
    node = int(arguments[1]) if len(arguments) > 1 else 0
    events = os.environ.get("BACKPROP_EVENTS_FD")
    sink = EventSink(int(events) if events and not node else os.open(os.devnull, os.O_WRONLY))
    try:
        spec = run.read_spec()
        count = processes(spec)
        arguments = torchrun_arguments(run, spec, count, node)
    except BackpropError as error:
        sink.send(ev.FAULT, **error.to_dict(), step=None)
        sink.end("failed", 0, error.cause, None)
        return EXIT_FAILED
    if count == 1 and nodes(spec) == 1:
        os.execv(ALONE[0], [*ALONE, str(run.path)])
    # As many threads as there are cores, shared out; torchrun would leave each process one, and say so at length.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // count)))
    os.environ[AGENT] = str(os.getpid())
    # The directory it runs in is the run's: nothing may be imported from there.
    os.environ["PYTHONSAFEPATH"] = "1"
    return _launch(arguments, sink)


def processes(spec: dict[str, Any]) -> int:
    """How many workers this machine gets.

    Raises:
        UnavailableError: DEVICES_TOO_MANY.
    """
    wanted = devices(spec)
    if (spec.get("model") or {}).get("device") == "cpu":
        return max(1, wanted)
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if there and wanted > there:
        raise UnavailableError(
            "DEVICES_TOO_MANY",
            f"The run wants {wanted} GPUs on this machine and {there} can be used.",
            f"Set devices to {there} or fewer.",
        )
    return max(1, wanted or there)


def torchrun_arguments(run: RunDir, spec: dict[str, Any], count: int, node: int) -> list[str]:
    """The command line for `torch.distributed.run`.

    Raises:
        UnavailableError: NO_SLURM_JOB, the machines are to meet at a job's first one and this is no job.
    """
    together = nodes(spec)
    part = spec.get("devices") or {}
    meeting = ["--standalone"]
    if together > 1:
        host, _, port = str(part.get("rendezvous", "")).rpartition(":")
        if host == JOBS_FIRST:
            host = os.environ.get(JOBS_FIRST_VARIABLE, "")
        if not host:
            raise UnavailableError(
                "NO_SLURM_JOB",
                "The run's machines meet at the first one of a Slurm job, and this is none.",
                "Submit it with `backprop train … --slurm`, or set rendezvous to a machine's host:port.",
            )
        meeting = ["--node-rank", str(node), "--master-addr", host, "--master-port", port]
        meeting += ["--rdzv-id", run.id, "--rdzv-conf", f"timeout={round(float(part.get('peer_wait_s') or 1800))}"]
    return [
        *meeting,
        *("--nnodes", str(together), "--nproc-per-node", str(count), "--max-restarts", "0"),
        # SIGTERM means "save and end" to a worker, however long that takes; torchrun would give it half a minute.
        *("--signals-to-handle", "SIGQUIT", "--shutdown-timeout", str(_OTHERS_GRACE), "--monitor-interval", "0.1"),
        *("-m", "backprop_tui.engine.worker", str(run.path)),
    ]


def _launch(arguments: list[str], sink: EventSink) -> int:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, _: _hand_on(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        torchrun(arguments)
    except ChildFailedError as error:
        _explain(error.failures, sink)
        sink.close()
        return EXIT_FAILED
    sink.close()
    return EXIT_OK


def _hand_on(signum: int) -> None:
    """Give a signal to this process's workers, which are not of its group."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(OSError, psutil.Error):
            child.send_signal(signum)


def _explain(failures: dict[int, Any], sink: EventSink) -> None:
    """Tell why the attempt ended, unless the first worker has told it."""
    culprits = {rank: failure for rank, failure in failures.items() if failure.exitcode != EXIT_FORSAKEN}
    own_words = [failure.error_file_data.get("told") for failure in culprits.values()]
    told = next((words for words in own_words if isinstance(words, dict)), None)
    if told is not None:
        sink.send(str(told.pop("k", ev.FAULT)), **told)
        return
    if not culprits:
        # Only the first can be forsaken with nobody here to blame: it lost somebody on another machine.
        if 0 in failures:
            sink.send(ev.RETRY, why="lost", step=None, fault=_lost("A process on another machine was lost"))
        return
    rank = min(culprits, key=lambda rank: culprits[rank].timestamp)
    if rank == 0 and culprits[0].exitcode > 0:
        # It has said what it had to say, or will be asked for its log.
        return
    failure = culprits[rank]
    how = f"killed ({failure.signal_name()})" if failure.exitcode < 0 else f"ended with exit code {failure.exitcode}"
    verb = "was " if failure.exitcode < 0 else ""
    sink.send(ev.RETRY, why="lost", step=None, fault=_lost(f"Process {rank} (pid {failure.pid}) {verb}{how}"))


def _lost(cause: str) -> dict[str, Any]:
    return {
        "code": "PROCESS_LOST",
        "cause": f"{cause}, and the others can't go on without it.",
        "next": "worker.log in the run's directory has the details.",
        "step": None,
    }


def inherited(name: str) -> int:
    """In a worker: the pipe whose descriptor is named in the environment, here or in the agent.

    Raises:
        KeyError, ValueError, OSError: there is none.
    """
    number, agent = int(os.environ[name]), os.environ.get(AGENT)
    if agent is None:
        return number
    place = Path(f"/proc/{int(agent)}/fd/{number}")
    if not place.exists():
        raise OSError(f"{name} can't be opened anew: several processes need Linux's /proc")
    return os.open(place, os.O_WRONLY if "EVENTS" in name else os.O_RDONLY)


def end_with_agent() -> None:
    """In a worker: end when the agent is killed, for nobody would end it then."""
    agent = os.environ.get(AGENT)
    if agent is None or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(agent):
        os._exit(EXIT_FAILED)


def leave_word(kind: str, **payload: Any) -> None:
    """In a worker that has no pipe: leave for the agent what it should tell the host, in the file torchrun reads."""
    file = os.environ.get(_ERROR_FILE)
    if not file:
        return
    cause = safe_text(payload.get("cause") or (payload.get("fault") or {}).get("cause") or kind, limit=300)
    words = {"message": {"message": cause, "extraInfo": {"timestamp": int(time.time())}}}
    with contextlib.suppress(OSError):
        Path(file).write_text(json.dumps({**words, "told": {"k": kind, **payload}}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
