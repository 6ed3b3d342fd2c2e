"""Who is running a run: the lock that is the truth, and the identity that tells a process from a later one with its pid.

"Running" means the lock is held; the kernel drops it when the holder dies, however it dies.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import signal
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from backprop_tui import __version__
from backprop_tui.protocol.errors import TryAgainError, UnavailableError
from backprop_tui.store.layout import write_atomic

#: A reader's probe holds the lock for microseconds; an acquirer looks again for this long, in seconds.
_PATIENCE = 0.3
_HAS_PROC = sys.platform.startswith("linux")


@dataclass(frozen=True, slots=True)
class Identity:
    """One engine process, unmistakably.

    Attributes:
        pid: process id. boot_id: the kernel's id of this boot ("" where there is none).
        start_time: when the process started, in the platform's own ticks.
        nonce: 128 random bits a client must show. socket: path of the pipe, "" before it is open.
        started: seconds since the Unix epoch.
    """

    pid: int
    boot_id: str
    start_time: int
    nonce: str
    version: str
    socket: str
    started: float

    @classmethod
    def current(cls, socket: str) -> Identity:
        """This process, with a fresh nonce."""
        pid = os.getpid()
        return cls(
            pid, boot_id(), _start_time(pid) or 0, secrets.token_hex(16), __version__, socket, round(time.time(), 3)
        )

    def write(self, file: Path) -> None:
        """Store as engine.json (0600)."""
        write_atomic(file, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, file: Path) -> Identity | None:
        """What engine.json says; None when there is none or it is not ours."""
        try:
            words = json.loads(file.read_bytes())
            known = {f.name: words[f.name] for f in fields(cls)}
            return cls(**known) if isinstance(known["pid"], int) and isinstance(known["nonce"], str) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


class RunLock:
    """An exclusive lock on one file, held until `release` or the death of the process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._fd = -1

    def acquire(self, *, patience: float = _PATIENCE) -> RunLock:
        """Take the lock.

        Raises:
            TryAgainError: RUN_HELD, naming the holder.
            UnavailableError: the file can't be opened, or the file system has no locks.
        """
        import fcntl

        deadline = time.monotonic() + patience
        while True:
            fd = _open_lock(self.file)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(fd, self.file):
                    self._fd = fd
                    return self
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                    os.close(fd)
                    raise UnavailableError(
                        "LOCK_FAILED", f"{self.file} can't be locked: {error.strerror}.", "Use a local disk for runs."
                    ) from None
            os.close(fd)
            if time.monotonic() >= deadline:
                raise held_error(self.file)
            time.sleep(0.01)

    @property
    def fd(self) -> int:
        """The descriptor that holds the lock; a child that inherits it holds the lock as well. -1 when not held."""
        return self._fd

    def release(self) -> None:
        """Give the lock back; calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RunLock:
        return self if self._fd >= 0 else self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(file: Path) -> bool:
    """Whether some process holds the lock now."""
    import fcntl

    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two probes never see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def held_error(file: Path) -> TryAgainError:
    """The refusal that names the holder of a run's lock."""
    name = file.parent.name.rsplit("-", 1)[-1]
    identity = Identity.read(file.with_name("engine.json"))
    if identity is None or not is_alive(identity):
        return TryAgainError("RUN_HELD", f"Run {name} is held by another process.", "Try again in a moment.")
    since = time.strftime("%H:%M", time.localtime(identity.started))
    return TryAgainError(
        "RUN_HELD",
        f"Run {name} is already running: process {identity.pid}, since {since}.",
        f"Watch it with `backprop attach {name}`.",
        {"pid": identity.pid, "started": identity.started},
    )


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs on this boot (a zombie does not)."""
    if identity.pid <= 0 or identity.boot_id != boot_id():
        return False
    started = _start_time(identity.pid)
    return started is not None and started == identity.start_time


def lost_to_reboot(file: Path) -> bool:
    """Whether the engine that engine.json names ran on an earlier boot of this machine; False also where nobody can say."""
    identity = Identity.read(file)
    return identity is not None and bool(identity.boot_id) and bool(here := boot_id()) and identity.boot_id != here


def signal_engine(identity: Identity, signum: signal.Signals) -> bool:
    """Signal this process and never a stranger that got its pid; False when it is gone."""
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        if not is_alive(identity):
            return False
        try:
            os.kill(identity.pid, signum)
        except OSError:
            return False
        return True
    try:
        pidfd = opener(identity.pid)
    except OSError:
        return False
    try:
        # The pidfd is bound to whoever has the pid now; only afterwards is the check conclusive.
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(pidfd, signum)
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)


def _open_lock(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise UnavailableError(
            "RUN_DIR_NOT_WRITABLE", f"{file} can't be opened: {error.strerror}.", "Check the run's directory."
        ) from None


def _same_file(fd: int, file: Path) -> bool:
    try:
        there = os.stat(file)
    except OSError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def boot_id() -> str:
    """The kernel's id of this boot; "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    """Start of a live process: clock ticks since boot on Linux, milliseconds elsewhere; None when gone or a zombie."""
    if _HAS_PROC:
        try:
            words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if words[0] in (b"Z", b"X") else int(words[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1000)
    except psutil.Error:
        return None
