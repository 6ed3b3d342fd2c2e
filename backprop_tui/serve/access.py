"""Who may look: links that work once, and sessions that end by themselves. No I/O.

Only hashes of links and of sessions are kept, so a look into this process's memory opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Links not yet used, and sessions at once; beyond that the oldest end.
_LINKS = 16
_SESSIONS = 32


@dataclass(slots=True)
class _Session:
    used: float


class Access:
    """Links and sessions.

    Args:
        idle_s: seconds after which an unused session ends.
        clock: seconds that only go up.
    """

    def __init__(self, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.idle_s = idle_s
        self._clock = clock
        self._links: dict[bytes, None] = {}
        self._sessions: dict[bytes, _Session] = {}

    def link(self) -> str:
        """A token that can be redeemed once."""
        token = secrets.token_urlsafe(32)
        self._links[_hash(token)] = None
        while len(self._links) > _LINKS:
            del self._links[next(iter(self._links))]
        return token

    def redeem(self, token: str) -> str | None:
        """A session for a token that was not used before, else None."""
        key = _hash(token)
        if key not in self._links:
            return None
        del self._links[key]
        return self.open()

    def open(self) -> str:
        """A session; the caller has made sure of the person."""
        secret = secrets.token_urlsafe(32)
        self._sessions[_hash(secret)] = _Session(self._clock())
        while len(self._sessions) > _SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return secret

    def knows(self, secret: str) -> bool:
        """Whether a session is open."""
        session = self._sessions.get(_hash(secret))
        return session is not None and self._clock() - session.used < self.idle_s

    def use(self, secret: str) -> None:
        """Somebody did something in this session."""
        session = self._sessions.get(_hash(secret))
        if session is not None and self.knows(secret):
            session.used = self._clock()

    def end(self, secret: str) -> None:
        """Close a session."""
        self._sessions.pop(_hash(secret), None)

    def sweep(self) -> int:
        """Forget sessions that were idle too long, and say how many are left."""
        now = self._clock()
        for key in [key for key, session in self._sessions.items() if now - session.used >= self.idle_s]:
            del self._sessions[key]
        return len(self._sessions)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
