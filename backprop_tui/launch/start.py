"""Starting runs: the engine host is spawned detached and left alone; losing whoever started it changes nothing."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.engine.host_faults import log_tail
from backprop_tui.engine.host_ready import read_answer
from backprop_tui.protocol.errors import BackpropError, TryAgainError, UnavailableError
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.resuming import Candidate, find_candidate

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

ENGINE_COMMAND = (sys.executable, "-P", "-m", "backprop_tui.engine")
#: The host is ready within a fraction of a second; folding a very long journal at a resume takes longer.
_READY_WITHIN = 60.0
#: Time for a host that refused to exit.
_GONE_WITHIN = 5.0
#: An engine that has ended lingers for its clients; a worker that lost its host first saves.
_RELEASED_WITHIN = 15.0

#: What the engine gets of the environment. Tokens travel here and nowhere else: not in argv, run.json or the journal.
_PASSED = frozenset({
    "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONHASHSEED",
    "PYTHONNOUSERSITE", "PYTHONPATH", "SHELL", "SSL_CERT_DIR", "SSL_CERT_FILE", "TEMP", "TMP", "TMPDIR", "TZ", "USER",
    "VIRTUAL_ENV", "CONDA_PREFIX", "FAILPOINT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
    "NO_PROXY", "ALL_PROXY", "HUGGING_FACE_HUB_TOKEN",
})  # fmt: skip
_PASSED_PREFIXES = (
    "LC_", "CUDA_", "CUBLAS_", "NVIDIA_", "NCCL_", "GLOO_", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "TORCH", "PYTORCH_", "OMP_",
    "MKL_", "OPENBLAS_", "BNB_", "TRITON_", "BACKPROP_", "XDG_",
)  # fmt: skip


def start_run(
    spec: RunSpec,
    *,
    limited: bool = True,
    trusted: Collection[str] = (),
    queued: dict[str, Any] | None = None,
) -> RunDir:
    """Check the spec, create its run and start its engine; returns once the engine is ready.

    Args:
        spec: what is to be run.
        limited: whether it counts among the starts of this minute; what starts runs in turn, not at once, is exempt.
        trusted: SHA-256 of reward files that are confirmed for this run, beside those that are remembered.
        queued: which entry of the queue it is, noted in its run.json.

    Raises:
        TryAgainError: RATE_LIMITED, too many were started within a minute.
        UsageError: REWARD_NOT_CONFIRMED, the run would execute a file that nobody confirmed.
        BackpropError: what preflight or the engine found wrong; nothing is left behind.
    """
    refuse_if_view_only()
    from backprop_tui.launch import rewards
    from backprop_tui.launch.preflight import check_and_record
    from backprop_tui.launch.safety import admit_start

    if limited:
        admit_start(count=False)
    resolved, launched = check_and_record(spec)
    rewarded = rewards.confirmed(resolved, trusted)
    if limited:
        admit_start(count=True)
    noted = None if rewarded is None else rewards.record(rewarded)
    run = create_run(resolved.model_dump(mode="json"), launched=launched, rewards=noted, queued=queued)
    try:
        rewards.keep_copy(run, rewarded)
        launch_engine(run)
    except OSError as error:
        discard(run)
        raise rewards.not_kept(error) from None
    except BackpropError:
        discard(run)
        raise
    return run


def resume_run(
    run: RunDir,
    engine: Sequence[str] = ENGINE_COMMAND,
    *,
    tell: Callable[[Candidate], None] = lambda candidate: None,
    rate: Mapping[str, float] | None = None,
) -> RunDir:
    """Start the next attempt from the newest checkpoint whose every byte is as written; from step 0 without one.

    Args:
        run: the run.
        engine: the host's command line without its arguments.
        tell: told what it goes on from, and what was passed over, before the engine starts.
        rate: the learning rate from there on (`learning_rate`), or what it is multiplied by (`lr_factor`).

    Raises:
        TryAgainError: RUN_HELD, the run is live.
        BackpropError: run.json can't be read, EXTRA_MISSING, or the engine can't start.
    """
    refuse_if_view_only()
    from backprop_tui.hardware.extras import require

    run.read_spec()
    require("train")
    _await_release(run)
    candidate = find_candidate(run)
    tell(candidate)
    resume = None if candidate.info is None else candidate.info.path.relative_to(run.path).as_posix()
    launch_engine(run, resume=resume, engine=engine, rate=rate)
    return run


def launch_engine(
    run: RunDir,
    *,
    resume: str | None = None,
    engine: Sequence[str] = ENGINE_COMMAND,
    rate: Mapping[str, float] | None = None,
) -> None:
    """Spawn the host of an existing run, detached from this process, its terminal and its session.

    Args:
        run: the run directory.
        resume: checkpoint to go on from, relative to the run directory.
        engine: the host's command line without its arguments.
        rate: a change of the learning rate, as `resume_run` takes it.

    Raises:
        BackpropError: the host's own words, or ENGINE_NOT_STARTED.
    """
    answer, ready = os.pipe()
    log_start = run.host_log.stat().st_size if run.host_log.exists() else 0
    try:
        more = ["--resume", resume] if resume else []
        for name, value in (rate or {}).items():
            more += [f"--{name.replace('_', '-')}", repr(value)]
        process = _spawn(run, [*engine, str(run.path), *more], ready)
    except OSError as failure:
        os.close(answer)
        raise UnavailableError(
            "ENGINE_NOT_STARTED", f"The engine can't be started: {failure.strerror}.", "Check the run's directory."
        ) from None
    finally:
        os.close(ready)
    # Reaps the host if it ends while we live; a zombie would look like a process.
    reaper = threading.Thread(target=process.wait, name="engine-exit", daemon=True)
    reaper.start()
    try:
        error = _hear(answer, run.host_log, log_start)
    finally:
        os.close(answer)
    if error is not None:
        # One that refused is about to exit, and holds the lock until it has; one that is stuck must not start later.
        reaper.join(_GONE_WITHIN)
        process.kill()
        reaper.join(_GONE_WITHIN)
        raise error


def engine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The allow-listed part of an environment."""
    return {
        name: value
        for name, value in environment.items()
        if name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES)
    }


def _spawn(run: RunDir, argv: list[str], ready: int) -> subprocess.Popen[bytes]:
    log = os.open(run.host_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            [*argv, "--ready-fd", str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=run.path,
            env=engine_environment(os.environ),
            pass_fds=(ready,),
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(log)


def _hear(answer: int, log: Path, log_start: int) -> BackpropError | None:
    """Wait for the host's line on the pipe; end of file means it died."""
    deadline = time.monotonic() + _READY_WITHIN
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([answer], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return TryAgainError(
                "ENGINE_SILENT", f"The engine was not ready within {_READY_WITHIN:.0f} s.", "See host.log in the run."
            )
        piece = os.read(answer, 65536)
        if not piece:
            break
        line += piece
    return read_answer(line, log_tail(log, 1, start=log_start))


def _await_release(run: RunDir) -> None:
    from backprop_tui.store.summary import load_summary

    deadline = time.monotonic() + _RELEASED_WITHIN
    while (held := locks.is_held(run.lock_file)) or locks.is_held(run.worker_lock):
        if held and load_summary(run).view.state.live:
            # Somebody else's resume took it while we waited.
            raise locks.held_error(run.lock_file)
        if time.monotonic() > deadline:
            raise TryAgainError(
                "RUN_HELD",
                f"The last attempt of run {run.short_id} is still saving and has not ended.",
                "Try again in a moment.",
            )
        time.sleep(0.05)


def discard(run: RunDir) -> None:
    """Delete a run that could not be started; what can't be deleted stays."""
    from backprop_tui.store.remove import delete_run

    with contextlib.suppress(BackpropError, OSError):
        delete_run(run)
