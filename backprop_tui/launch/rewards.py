"""Which rewards a run asks for, and the file they are in: read, looked through and confirmed, never run here.

What was read is what is shown, hashed and copied into the run; nothing is read twice, so nothing can be swapped in between.
"""

from __future__ import annotations

import ast
import difflib
import errno
import hashlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.config.trusted import is_trusted, trust
from backprop_tui.protocol.errors import DataError, UnavailableError, UsageError
from backprop_tui.protocol.parts.grpo import BUILT_IN_REWARDS, DEFAULT_REWARD
from backprop_tui.protocol.reward_names import reward_weights
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: A file that long is nothing a person reads before saying yes.
MOST_BYTES = 256 << 10
#: Fewest characters of a SHA-256 that name a file: 48 bits.
FEWEST_HEX = 12
_ANY = "reward_"


@dataclass(frozen=True, slots=True)
class RewardFile:
    """A file as it was read. `functions` are those defined at its top level, in order; `names` everything bound there."""

    path: Path
    content: bytes
    text: str
    functions: tuple[str, ...]
    names: frozenset[str]

    @property
    def sha256(self) -> str:
        """Of its bytes, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def title(self) -> str:
        """Path and the beginning of the hash, harmless."""
        return f"{safe_text(self.path)} (sha256 {self.sha256[:16]}…)"


@dataclass(frozen=True, slots=True)
class Rewards:
    """What a run is rewarded by: weights by function, and the file some of them are in."""

    weights: dict[str, float]
    file: RewardFile | None


def read_reward_file(place: str) -> RewardFile:
    """Read and look through a file, without running any of it.

    Raises:
        DataError: REWARD_FILE_MISSING, REWARD_FILE_LINK, REWARD_FILE_KIND, REWARD_FILE_LARGE, REWARD_FILE_TEXT,
            REWARD_FILE_SYNTAX.
    """
    path = Path(place).expanduser().absolute()
    name = safe_text(path)
    content = _content(path, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("REWARD_FILE_TEXT", f"{name} is not UTF-8 text.", "Save it as UTF-8.") from None
    try:
        # As text: a declared encoding would make it mean something else than what is shown.
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise DataError(
            "REWARD_FILE_SYNTAX",
            f"{name}{where} is not Python: {safe_text(getattr(error, 'msg', None) or error, limit=200)}.",
            "Mend it.",
            {"line": line},
        ) from None
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return RewardFile(path, content, text, tuple(dict.fromkeys(functions)), frozenset(_bound(tree)))


def find_rewards(spec: RunSpec) -> Rewards:
    """The rewards of a run that learns by them.

    Raises:
        UsageError: REWARD_NONE, REWARD_UNKNOWN, REWARD_WEIGHT, REWARD_FILE_UNUSED.
        DataError: as `read_reward_file`.
    """
    part = spec.grpo
    file = read_reward_file(part.reward_file) if part.reward_file.strip() else None
    weights = reward_weights(part.reward_functions)
    if not weights and file is not None:
        weights = {name: 1.0 for name in file.functions if name == _ANY[:-1] or name.startswith(_ANY)}
        if not weights:
            raise UsageError(
                "REWARD_NONE",
                f"{safe_text(file.path)} has no function called reward or {_ANY}….",
                f"Name some in reward_functions: it has {', '.join(file.functions) or 'none'}.",
            )
    if not weights:
        weights = {DEFAULT_REWARD: 1.0}
    own = file.names if file is not None else frozenset()
    known = sorted(own | BUILT_IN_REWARDS.keys())
    for name in weights:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                "REWARD_UNKNOWN",
                f"There is no reward function {safe_text(name, limit=60)!r}.",
                f"Did you mean {near[0]}?"
                if near
                else f"There is {', '.join(BUILT_IN_REWARDS)}, or name a reward_file.",
            )
    if file is not None and own.isdisjoint(weights):
        raise UsageError(
            "REWARD_FILE_UNUSED",
            f"None of the rewards named is in {safe_text(file.path)}.",
            "Leave reward_file out, or name one of its functions.",
        )
    return Rewards(weights, file)


def unconfirmed(spec: RunSpec, trusted: Collection[str] = ()) -> RewardFile | None:
    """The file of a run that a person has yet to see and confirm; None where there is nothing to confirm.

    Args:
        spec: the run.
        trusted: hashes of files that are confirmed for it, beside those that are remembered.

    Raises:
        BackpropError: as `find_rewards`.
    """
    if spec.task.objective != "grpo":
        return None
    file = find_rewards(spec).file
    return None if file is None or file.sha256 in trusted or is_trusted(file.sha256) else file


def confirmed(spec: RunSpec, trusted: Collection[str] = ()) -> Rewards | None:
    """The rewards of a run about to start, read once; None for a run without.

    Raises:
        UsageError: REWARD_NOT_CONFIRMED; as `find_rewards`.
    """
    if spec.task.objective != "grpo":
        return None
    found = find_rewards(spec)
    file = found.file
    if file is not None and file.sha256 not in trusted and not is_trusted(file.sha256):
        raise not_confirmed(file)
    return found


def confirmed_for(run: RunDir) -> frozenset[str]:
    """The SHA-256 of the reward file a run was confirmed with; empty where it has none.

    Raises:
        DataError: run.json can't be read.
    """
    noted = run.read_rewards() or {}
    return frozenset({str(noted["sha256"])} if noted.get("sha256") else ())


def not_confirmed(file: RewardFile) -> UsageError:
    """A file would be run that nobody confirmed."""
    return UsageError(
        "REWARD_NOT_CONFIRMED",
        f"{safe_text(file.path)} would be run as you, and this content of it is not confirmed.",
        f"Read it, then add --trust-rewards {file.sha256[:FEWEST_HEX]}.",
        {"file": str(file.path), "sha256": file.sha256},
    )


def check_trusted(file: RewardFile, said: str) -> None:
    """Whether `--trust-rewards` names this very content.

    Raises:
        UsageError: REWARD_SHA256, too short or no hash; REWARD_CHANGED, that of another content.
    """
    wanted = said.strip().lower()
    if not FEWEST_HEX <= len(wanted) <= 64 or set(wanted) - set("0123456789abcdef"):
        raise UsageError(
            "REWARD_SHA256",
            f"--trust-rewards takes the SHA-256 of the reward file, at least {FEWEST_HEX} hex digits of it.",
            "`sha256sum FILE` prints it.",
        )
    if not file.sha256.startswith(wanted):
        raise UsageError(
            "REWARD_CHANGED",
            f"{safe_text(file.path)} is not the file that was confirmed: its sha256 begins with {file.sha256[:16]}.",
            "Read it again before you confirm it.",
            {"sha256": file.sha256},
        )


def trusted_rewards(spec: RunSpec, said: str) -> tuple[str, ...]:
    """The hashes that are confirmed for a run by having been given; none where none was.

    Raises:
        UsageError: USAGE, the run has no reward file; as `check_trusted` and `find_rewards`.
    """
    if not said:
        return ()
    file = find_rewards(spec).file if spec.task.objective == "grpo" else None
    if file is None:
        raise UsageError("USAGE", "--trust-rewards confirms a reward file, and the run has none.", "Leave it out.")
    check_trusted(file, said)
    return (file.sha256,)


def remember(file: RewardFile) -> None:
    """Note that a person has read and confirmed a file.

    Raises:
        UnavailableError: DATA_DIR_NOT_WRITABLE.
    """
    try:
        trust(file.sha256)
    except OSError as error:
        raise UnavailableError(
            "DATA_DIR_NOT_WRITABLE",
            f"The confirmation can't be written down: {error.strerror}.",
            "Make the data directory writable, or set BACKPROP_DATA_DIR to another place.",
        ) from None


def record(rewards: Rewards) -> dict[str, Any]:
    """What run.json says of them."""
    words: dict[str, Any] = {"functions": rewards.weights}
    if rewards.file is not None:
        words |= {"file": str(rewards.file.path), "sha256": rewards.file.sha256}
    return words


def keep_copy(run: RunDir, rewards: Rewards | None) -> None:
    """Put the very bytes that were confirmed into the run.

    Raises:
        OSError: they can't be written.
    """
    if rewards is None or rewards.file is None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(run.reward_file, flags, 0o400), "wb") as file:
        file.write(rewards.file.content)
        file.flush()
        os.fsync(file.fileno())


def not_kept(error: OSError) -> UnavailableError:
    """The copy could not be written."""
    return UnavailableError(
        "REWARD_NOT_COPIED",
        f"The reward file can't be copied into the run: {error.strerror}.",
        "Free some space on the disk of the runs.",
    )


def _content(path: Path, name: str) -> bytes:
    try:
        # A pipe would block for ever, and a link may point elsewhere by the time it is looked at again.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataError("REWARD_FILE_LINK", f"{name} is a symbolic link.", "Name the file itself.") from None
        raise DataError("REWARD_FILE_MISSING", f"{name} can't be read: {error.strerror}.", "Check the path.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError("REWARD_FILE_KIND", f"{name} is not a regular file.", "Name a Python file.")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(
            "REWARD_FILE_LARGE",
            f"{name} has more than {MOST_BYTES >> 10} KiB, which nobody reads before confirming it.",
            "Move what is not about rewards into a package and import that.",
        )
    return content


def _bound(tree: ast.Module) -> list[str]:
    """Names the top level of a module defines, imports or assigns."""
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names
