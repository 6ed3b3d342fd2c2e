"""A password that is never kept: only its scrypt hash, in memory; and patience with whoever guesses."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import secrets
import stat
import time
import warnings
from collections.abc import Callable, MutableMapping
from pathlib import Path

from backprop_tui.protocol.errors import TryAgainError, UsageError
from backprop_tui.protocol.text import safe_text

VARIABLE = "BACKPROP_SERVE_PASSWORD"
_SHORTEST = 8
_LONGEST = 1024
#: scrypt's cost: 64 MiB and about a tenth of a second for each guess.
_COST = {"n": 1 << 16, "r": 8, "p": 1, "maxmem": 1 << 27, "dklen": 32}
#: Wrong guesses of an address before it has to wait, the first wait, and the longest, in seconds.
_FREE_GUESSES = 5
_FIRST_WAIT = 5.0
_LONGEST_WAIT = 600.0
#: Addresses remembered; beyond that the oldest are forgotten.
_REMEMBERED = 1000


class Password:
    """The hash of one password.

    Raises:
        UsageError: PASSWORD_WEAK, it is shorter than 8 characters or longer than 1024.
    """

    def __init__(self, text: str) -> None:
        if not _SHORTEST <= len(text) <= _LONGEST:
            raise UsageError(
                "PASSWORD_WEAK", f"The password has {len(text)} characters.", f"Take {_SHORTEST} to {_LONGEST} of them."
            )
        self._salt = secrets.token_bytes(16)
        self._hash = self._hashed(text)

    def __repr__(self) -> str:
        return "Password()"

    def matches(self, text: str) -> bool:
        """Whether this is the password; takes a tenth of a second, so ask in a thread."""
        return len(text) <= _LONGEST and hmac.compare_digest(self._hashed(text), self._hash)

    def _hashed(self, text: str) -> bytes:
        return hashlib.scrypt(text.encode("utf-8", "surrogatepass"), salt=self._salt, **_COST)


class Patience:
    """Makes an address that guessed wrongly wait, twice as long each time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}

    def wait(self, address: str) -> float:
        """Seconds until this address may guess again; 0 when it may."""
        return max(0.0, self._wrong.get(address, (0, 0.0))[1] - self._clock())

    def failed(self, address: str) -> None:
        """A wrong guess. Count it before the hash is computed: guesses sent at once must not all be free."""
        count = self._wrong.pop(address, (0, 0.0))[0] + 1
        pause = (
            0.0 if count < _FREE_GUESSES else min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(20, count - _FREE_GUESSES))
        )
        self._wrong[address] = (count, self._clock() + pause)
        while len(self._wrong) > _REMEMBERED:
            del self._wrong[next(iter(self._wrong))]

    def right(self, address: str) -> None:
        """The password was right: start afresh."""
        self._wrong.pop(address, None)


def obtain(
    file: Path | None, ask: bool, environ: MutableMapping[str, str] = os.environ,
    prompt: Callable[[str], str] = getpass.getpass,
) -> Password | None:  # fmt: skip
    """The password from a file, the environment or the keyboard, in this order; None when nobody gave one.

    The variable is taken out of the environment, so that nothing started later inherits it.

    Raises:
        UsageError: PASSWORD_WEAK, PASSWORD_FILE_OPEN, PASSWORD_FILE_UNREADABLE, PASSWORD_DIFFERENT.
        TryAgainError: PASSWORD_UNASKED, there is no keyboard.
    """
    given = environ.pop(VARIABLE, "")
    if file is not None:
        return Password(_from_file(file))
    if given:
        return Password(given)
    if not ask:
        return None
    try:
        with warnings.catch_warnings():
            # Where the terminal would show what is typed, nothing is asked.
            warnings.simplefilter("error", getpass.GetPassWarning)
            first, second = prompt("Password for the browser: "), prompt("Again: ")
    except (EOFError, getpass.GetPassWarning):
        raise TryAgainError(
            "PASSWORD_UNASKED", "There is no keyboard to ask for the password.", f"Use --password-file or {VARIABLE}."
        ) from None
    if first != second:
        raise UsageError("PASSWORD_DIFFERENT", "The two passwords differ.", "Start again.")
    return Password(first)


def _from_file(file: Path) -> str:
    shown = safe_text(file, limit=200)
    try:
        with file.open("rb") as source:
            about = os.fstat(source.fileno())
            if stat.S_ISREG(about.st_mode) and about.st_mode & 0o077:
                raise UsageError(
                    "PASSWORD_FILE_OPEN",
                    f"Others may read {shown}.",
                    f"Run `chmod 600 {shown}` and take another password.",
                )
            content = source.read(4 * _LONGEST + 2)
        return content.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as failure:
        why = failure.strerror if isinstance(failure, OSError) else "it is not UTF-8"
        raise UsageError("PASSWORD_FILE_UNREADABLE", f"{shown} can't be read: {why}.", "Check the path.") from None
