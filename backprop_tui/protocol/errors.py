"""One exception tree with stable codes: the same words in the app, the CLI, the journal and `--json`.

Every error says what happened (`cause`) and what to press or type (`next_step`). The class decides the exit code.
"""

from __future__ import annotations

from typing import Any, ClassVar

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA = 65
EXIT_UNAVAILABLE = 69
EXIT_TRY_AGAIN = 75
EXIT_INTERRUPTED = 130


class BackpropError(Exception):
    """Base of everything we raise on purpose.

    Args:
        code: stable upper-case name such as `DATA_ROW_INVALID`; scripts may rely on it.
        cause: one sentence, what happened.
        next_step: one sentence, what the person can do now.
        detail: facts for `--json` (JSON-ready values only).
    """

    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, code: str, cause: str, next_step: str = "", detail: dict[str, Any] | None = None) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.next_step = next_step
        self.detail = detail or {}

    def __str__(self) -> str:
        line = f"{self.code}: {self.cause}"
        return f"{line} {self.next_step}" if self.next_step else line

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON-ready words, the same in `--json`, the journal and on the pipe."""
        words: dict[str, Any] = {"code": self.code, "cause": self.cause, "next": self.next_step}
        if self.detail:
            words["detail"] = self.detail
        return words


class RunFailed(BackpropError):
    """The run started and ended badly (exit 1)."""


class UsageError(BackpropError):
    """The person asked for something that does not exist (exit 2)."""

    exit_code = EXIT_USAGE


class DataError(BackpropError):
    """A file, dataset or model directory is not usable as it is (exit 65)."""

    exit_code = EXIT_DATA


class UnavailableError(BackpropError):
    """An extra, a service or a resource such as disk space is missing (exit 69)."""

    exit_code = EXIT_UNAVAILABLE


class TryAgainError(BackpropError):
    """Somebody else holds it just now (exit 75)."""

    exit_code = EXIT_TRY_AGAIN


class ProtocolError(BackpropError):
    """The other end of the pipe sent something that is not our protocol (exit 1)."""


_BY_EXIT: dict[int, type[BackpropError]] = {
    kind.exit_code: kind for kind in (RunFailed, UsageError, DataError, UnavailableError, TryAgainError)
}


def error_from_dict(words: dict[str, Any], exit_code: int = EXIT_FAILED) -> BackpropError:
    """Rebuild an error that crossed the pipe."""
    kind = _BY_EXIT.get(exit_code, RunFailed)
    return kind(
        str(words.get("code", "UNKNOWN")),
        str(words.get("cause", "")),
        str(words.get("next", "")),
        words.get("detail") if isinstance(words.get("detail"), dict) else None,
    )
