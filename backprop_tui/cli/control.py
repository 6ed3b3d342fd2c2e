"""`pause`, `checkpoint`, `evaluate`, `stop`, `abort` and `set`: one command to a live run, answered before it is done."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.commands import Command, CommandName, Reply, ReplyStatus, check_learning_rate
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, BackpropError, TryAgainError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir, find_run

_RATE_NAMES = ("lr", "learning_rate", "learning-rate", "optim.learning_rate")

#: What an accepted command is about to do, as a sentence: accepted is not done.
_AFTERWARDS = {
    CommandName.PAUSE: "It pauses after the current step.",
    CommandName.RESUME: "It goes on.",
    CommandName.CHECKPOINT: "It saves after the current step.",
    CommandName.EVALUATE: "It measures after the current step.",
    CommandName.STOP: "It saves a checkpoint after the current step and ends.",
    CommandName.ABORT: "It ends without saving.",
    CommandName.SET: "The next step uses it.",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    if parser.prog.endswith(" set"):
        parser.add_argument("words", metavar="[RUN] lr=RATE", nargs="+", help="the new learning rate, such as lr=1e-4")
    else:
        add_run(parser)
    parser.add_argument("--wait", action="store_true", help="return when it has taken effect")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Send the command and report the answer."""
    name = CommandName(args.command)
    if name is CommandName.SET:
        wanted, rate = rate_in(args.words)
        command = Command(name, {"learning_rate": rate})
    else:
        wanted, command = args.run, Command(name)
    return send(find_run(wanted), command, out, wait=args.wait)


def send(run: RunDir, command: Command, out: Output, *, wait: bool = False) -> int:
    """Send one command, print the answer, and with `wait` its effect."""
    from backprop_tui.launch.client import send_command

    reply = send_command(run, command)
    if reply.status is ReplyStatus.REFUSED:
        raise _refused(reply)
    done = _effect(run, command) if wait else None
    if out.as_json:
        words = {"run": run.id, "command": command.name.value, "status": reply.status.value}
        out.json(words if done is None else {**words, "ok": done[0], "detail": done[1]})
    elif done is not None:
        out.say(safe_text(f"{command.name.value} {'done' if done[0] else 'could not be done'}: {done[1]}".rstrip(": ")))
    else:
        out.say(f"Run {run.short_id} accepted {command.name.value}. {_AFTERWARDS[command.name]}")
    return EXIT_OK if done is None or done[0] else EXIT_FAILED


def _refused(reply: Reply) -> BackpropError:
    return TryAgainError(
        reply.code or "COMMAND_REFUSED", safe_text(reply.cause or "The run refused."), safe_text(reply.next_step)
    )


def _effect(run: RunDir, command: Command) -> tuple[bool, str]:
    for event in _following(run):
        if event.kind == ev.COMMAND_DONE and event.data.get("id") == command.id:
            if command.name not in (CommandName.STOP, CommandName.ABORT):
                return bool(event.data.get("ok")), str(event.data.get("detail", ""))
            if not event.data.get("ok"):
                return False, str(event.data.get("detail", ""))
    return command.name in (CommandName.STOP, CommandName.ABORT), "the run has ended"


def _following(run: RunDir) -> Iterator[ev.Event]:
    import time

    from backprop_tui.store import locks
    from backprop_tui.store.journal import JournalTail

    tail = JournalTail(run.journal_file, kinds=(ev.COMMAND_DONE,))
    try:
        while True:
            held = locks.is_held(run.lock_file)
            while batch := tail.poll():
                yield from batch
            if not held:
                return
            time.sleep(0.1)
    finally:
        tail.close()


def rate_in(typed: list[str]) -> tuple[str | None, float]:
    """The run and the learning rate of words such as `k3f9 lr=1e-4`; None where no run is named.

    Raises:
        UsageError: anything else is to be set, or nothing.
    """
    wanted: str | None = None
    rate: float | None = None
    for word in typed:
        key, equals, value = word.partition("=")
        if equals:
            if key not in _RATE_NAMES:
                raise UsageError(
                    "SETTING_FIXED", f"{safe_text(key, limit=60)!r} can't be changed in a live run.", "Only lr can."
                )
            rate = check_learning_rate(value)
        elif wanted is None:
            wanted = word
        else:
            raise UsageError("USAGE", f"There is one RUN too many: {safe_text(word, limit=60)!r}.", "Name one.")
    if rate is None:
        raise UsageError("USAGE", "There is nothing to set.", "Write lr=1e-4.")
    return wanted, rate
