"""Every command of the CLI: one line here, one module beside it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from backprop_tui.cli.output import Output


class CommandModule(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the command takes. `parser.prog` ends in the command's name."""

    def run(self, args: Namespace, out: Output) -> int:
        """Do it and return the exit code; `args.command` is the command's name."""


@dataclass(frozen=True, slots=True)
class CliCommand:
    """A command's place in the help, and the module that is imported once it is named."""

    group: str
    help: str
    module: str

    def load(self) -> CommandModule:
        """Import the module."""
        return cast("CommandModule", import_module(f"backprop_tui.cli.{self.module}"))


GROUPS = ("start", "watch", "steer", "keep", "look around")

COMMANDS: dict[str, CliCommand] = {
    "demo": CliCommand("start", "fine-tune the bundled tiny model, offline, in under a minute", "demo"),
    "train": CliCommand("start", "fine-tune a model on a data file", "train"),
    "multi-run": CliCommand("start", "train run after run and merge them into one adapter", "multi_run"),
    "join": CliCommand("start", "take part in a run on several machines: join RUN --node 1", "join"),
    "queue": CliCommand("start", "what waits for its turn: list, move, remove, start now, hold", "queue"),
    "sweep": CliCommand("start", "queue a run for each combination of settings, and rank them", "sweep"),
    "plan": CliCommand("start", "what a run would take, and whether to start it", "plan"),
    "attach": CliCommand("watch", "open the live panel of a run", "attach"),
    "replay": CliCommand("watch", "play a past run again", "replay"),
    "watch": CliCommand("watch", "a compact view for a tmux pane, a status line or a script", "watch"),
    "serve": CliCommand("watch", "show the app in a browser, to watch only", "serve"),
    "runs": CliCommand("watch", "list all runs", "runs"),
    "show": CliCommand("watch", "everything known of a run", "show"),
    "logs": CliCommand("watch", "the log of a run", "logs"),
    "pause": CliCommand("steer", "pause a run after the current step; memory stays taken", "control"),
    "resume": CliCommand("steer", "go on with a paused run, or continue one that ended early", "resume"),
    "checkpoint": CliCommand("steer", "save a checkpoint now", "control"),
    "evaluate": CliCommand("steer", "measure on the held-out rows now", "control"),
    "set": CliCommand("steer", "change the learning rate of a run: set [RUN] lr=1e-4", "control"),
    "stop": CliCommand("steer", "save a checkpoint and end a run", "control"),
    "abort": CliCommand("steer", "end a run at once, without saving", "control"),
    "fork": CliCommand("start", "start a run of its own from a checkpoint of another, with other settings", "fork"),
    "pin": CliCommand("keep", "keep the checkpoint of a step for good: pin RUN STEP", "pin"),
    "unpin": CliCommand("keep", "let retention have a pinned checkpoint again", "pin"),
    "prune": CliCommand(
        "keep", "delete old checkpoints; the newest, the best, the result and pinned ones stay", "prune"
    ),
    "save": CliCommand("keep", "copy what a run delivers, for use in plain PEFT or transformers", "save"),
    "delete": CliCommand("keep", "delete a run with its checkpoints", "delete"),
    "data": CliCommand("look around", "inspect, convert, filter, split and compare datasets", "data"),
    "presets": CliCommand("look around", "list presets, or the settings of one", "presets"),
    "config": CliCommand("look around", "show or change the settings of this program", "config"),
    "doctor": CliCommand("look around", "check this machine and terminal", "doctor"),
    "completions": CliCommand("look around", "print the completion script of a shell", "completions"),
}
