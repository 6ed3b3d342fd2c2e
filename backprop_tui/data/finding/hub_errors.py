"""The hub's answers as our errors, each in one line."""

from __future__ import annotations

import errno

from backprop_tui.protocol.errors import BackpropError, DataError, TryAgainError, UnavailableError
from backprop_tui.protocol.text import safe_text

#: What the disk says, and never the network.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN."


def refusals() -> tuple[type[BaseException], ...]:
    """What the library raises when the hub refuses or is away, or when a file is neither there nor in the cache."""
    from huggingface_hub import errors

    # The bases name the errors of the HTTP library underneath, which is another one from version to version.
    return (*errors.HfHubHTTPError.__bases__, errors.EntryNotFoundError, errors.HFValidationError, OSError)


def told(error: BaseException, where: str) -> BackpropError:
    """Our error for one of the library's.

    Args:
        error: what it raised.
        where: the words that lead to the dataset or file.
    """
    from huggingface_hub import errors

    name = safe_text(where, limit=200)
    if isinstance(error, errors.GatedRepoError):
        return UnavailableError(
            "HUB_GATED", f"{name} is given only to people who asked for it.", f"Ask for it on its page. {_LOG_IN}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return DataError(
            "HUB_REVISION_MISSING",
            f"{name} does not exist: the dataset has no such revision.",
            "Check the part after the @.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return DataError("HUB_NOT_FOUND", f"{name} does not exist, or is private.", f"Check the name. {_LOG_IN}")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return unreachable(name, "and it is not in the cache")
    if isinstance(error, errors.EntryNotFoundError):
        return DataError("HUB_FILE_MISSING", f"{name} is not there.", "Check the path.")
    if isinstance(error, errors.HFValidationError):
        return DataError("HUB_NOT_FOUND", f"{name} is not a name the hub allows.", "Write hf://datasets/org/name.")
    if isinstance(error, errors.HfHubHTTPError):
        return _status(error.response.status_code if error.response is not None else 0, name)
    if isinstance(error, OSError) and error.errno in _DISK:
        return UnavailableError(
            "HUB_CACHE_UNWRITABLE", f"{name} can't be kept: {error.strerror}.", "Free some space, or set HF_HOME."
        )
    return unreachable(name, "and it is not in the cache")


def unreachable(where: str, why: str) -> UnavailableError:
    """The error of a dataset that would have to come over a network that is not there."""
    return UnavailableError(
        "HUB_UNREACHABLE",
        f"{safe_text(where, limit=200)}: the hub can't be reached, {why}.",
        "Check the network and HF_HUB_OFFLINE, or name a file on this machine.",
    )


def _status(status: int, name: str) -> BackpropError:
    if status in (401, 403):
        return UnavailableError("HUB_DENIED", f"The hub denies access to {name} (status {status}).", _LOG_IN)
    if status == 429:
        return TryAgainError(
            "HUB_BUSY", f"The hub asks to wait before {name} is fetched (status 429).", "Try again later."
        )
    if status == 404:
        return DataError("HUB_NOT_FOUND", f"{name} does not exist.", "Check the name.")
    return unreachable(name, f"it answers with the status {status}")
