"""What a client may ask of a run, and the three answers it can get."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState

#: Version of the pipe's language, exchanged in `hello`.
PROTOCOL_VERSION = 1


class CommandName(StrEnum):
    """Commands, by the word used on the pipe, in the CLI and in the journal."""

    PAUSE = "pause"
    RESUME = "resume"
    CHECKPOINT = "checkpoint"
    EVALUATE = "evaluate"
    STOP = "stop"
    ABORT = "abort"
    SET = "set"


#: States in which each command makes sense; the host refuses it elsewhere.
ACCEPTED_IN: dict[CommandName, frozenset[RunState]] = {
    CommandName.PAUSE: frozenset({RunState.STARTING, RunState.RUNNING}),
    CommandName.RESUME: frozenset({RunState.PAUSED}),
    CommandName.CHECKPOINT: frozenset({RunState.RUNNING, RunState.PAUSED}),
    CommandName.EVALUATE: frozenset({RunState.RUNNING, RunState.PAUSED}),
    CommandName.STOP: frozenset({RunState.STARTING, RunState.RUNNING, RunState.PAUSED}),
    CommandName.ABORT: frozenset({RunState.STARTING, RunState.RUNNING, RunState.PAUSED, RunState.STOPPING}),
    CommandName.SET: frozenset({RunState.STARTING, RunState.RUNNING, RunState.PAUSED}),
}


class ReplyStatus(StrEnum):
    """How the host answers a command, once the answer is in the journal."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Command:
    """One command with the id that makes it take effect at most once."""

    name: CommandName
    args: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_message(self) -> dict[str, Any]:
        """The frame's object."""
        return {"type": "command", "id": self.id, "name": self.name.value, "args": self.args}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Command:
        """Check a frame's object.

        Raises:
            UsageError: unknown command, missing id, or arguments that do not fit.
        """
        try:
            name = CommandName(str(message.get("name")))
        except ValueError:
            raise UsageError(
                "COMMAND_UNKNOWN", f"There is no command {message.get('name')!r}.", "Update the older side."
            ) from None
        identity, args = message.get("id"), message.get("args", {})
        if not isinstance(identity, str) or not 1 <= len(identity) <= 64 or not isinstance(args, dict):
            raise UsageError(
                "COMMAND_INVALID",
                "A command needs an id of 1 to 64 characters and an object of arguments.",
                "Update the older side.",
            )
        if name is CommandName.SET or (name is CommandName.RESUME and "learning_rate" in args):
            args = {"learning_rate": check_learning_rate(args.get("learning_rate"))}
        elif name is CommandName.RESUME and "lr_factor" in args:
            args = {"lr_factor": check_factor(args.get("lr_factor"))}
        return cls(name, args, identity)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the command with the same id."""

    id: str
    status: ReplyStatus
    code: str = ""
    cause: str = ""
    next_step: str = ""

    def to_message(self) -> dict[str, Any]:
        """The frame's object."""
        return {
            "type": "reply",
            "id": self.id,
            "status": self.status.value,
            "code": self.code,
            "cause": self.cause,
            "next": self.next_step,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Reply:
        """Read a frame's object; an unknown status counts as refused."""
        try:
            status = ReplyStatus(str(message.get("status")))
        except ValueError:
            status = ReplyStatus.REFUSED
        return cls(
            str(message.get("id", "")),
            status,
            str(message.get("code", "")),
            str(message.get("cause", "")),
            str(message.get("next", "")),
        )


def check_learning_rate(value: object) -> float:
    """A learning rate in (0, 1].

    Raises:
        UsageError: not a number, or outside the range.
    """
    try:
        rate = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        rate = -1.0
    if not 0.0 < rate <= 1.0:
        raise UsageError("LEARNING_RATE_INVALID", f"{value!r} is not a learning rate.", "Give a number such as 1e-4.")
    return rate


def check_factor(value: object) -> float:
    """What a learning rate is multiplied by, in (0, 1].

    Raises:
        UsageError: not a number, or outside the range.
    """
    factor = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else -1.0
    if not 0.0 < factor <= 1.0:
        raise UsageError(
            "LR_FACTOR_INVALID", f"{value!r} is not a factor of a learning rate.", "Give a number such as 0.5."
        )
    return factor
