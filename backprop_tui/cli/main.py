"""The `backprop` command: finds the module of a command, runs it, turns every outcome into words and an exit code.

Only the module of the command that was named is imported, so `backprop runs` costs what listing runs costs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from backprop_tui import __version__
from backprop_tui.cli.output import Output
from backprop_tui.cli.registry import COMMANDS, GROUPS
from backprop_tui.protocol.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    BackpropError,
    RunFailed,
    UsageError,
)

if TYPE_CHECKING:
    from backprop_tui.cli.parser import Parser

#: 128 + SIGPIPE and 128 + SIGTERM, as shells count.
EXIT_PIPE = 141
EXIT_TERMINATED = 143

_APP_OPTIONS = ("--theme", "--profile")


def entry() -> None:
    """Console script."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; no exception gets out."""
    out = Output.standard(as_json="--json" in argv)
    try:
        return _dispatch(list(argv), out)
    except BackpropError as error:
        return _last_words(out, error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more on its way out; let it do so into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else EXIT_FAILED if leaving.code else EXIT_OK
    except Exception as error:
        return _last_words(out, _unexpected(error))


def build_parser(name: str) -> Parser:
    """The parser of one command.

    Raises:
        UsageError: there is no such command.
    """
    from backprop_tui.cli.parser import Parser

    command = COMMANDS.get(name)
    if command is None:
        raise _unknown(name)
    parser = Parser(prog=f"backprop {name}", description=command.help[:1].upper() + command.help[1:] + ".")
    command.load().add_arguments(parser)
    return parser


def _dispatch(argv: list[str], out: Output) -> int:
    preferences: dict[str, str | bool] = {}
    while argv and argv[0].startswith("-"):
        option, _, value = argv.pop(0).partition("=")
        if option in ("-h", "--help"):
            out.line(_help())
            return EXIT_OK
        if option in ("-V", "--version"):
            out.line(f"backprop {__version__}")
            return EXIT_OK
        if option == "--ascii":
            # Through the environment, so that every part of this process and its children agree.
            os.environ["BACKPROP_ASCII"] = "1"
            preferences["ascii"] = True
            out = Output.standard(as_json=out.as_json)
        elif option == "--fresh":
            preferences["fresh"] = True
        elif option in _APP_OPTIONS:
            if not value and not argv:
                raise UsageError("USAGE", f"{option} needs a value.", "`backprop --help` shows what it takes.")
            preferences[option[2:]] = value or argv.pop(0)
        else:
            raise _unknown(option)
    if not argv:
        from backprop_tui.app import run_app

        return run_app(**preferences)  # type: ignore[arg-type]
    if argv[0] == "help":
        argv = [*argv[1:2], "--help"]
        return _dispatch(argv, out)
    name = argv.pop(0)
    parser = build_parser(name)
    args = parser.parse_args(argv)
    out.as_json = bool(getattr(args, "json", False))
    args.preferences = preferences
    args.command = name
    return COMMANDS[name].load().run(args, out)


def _help() -> str:
    lines = [
        "usage: backprop [--ascii] [--fresh] [--theme NAME] [--profile auto|local|ssh|low] [COMMAND …]",
        "",
        "Fine-tune language models from the terminal. Without a command the app opens where you left it; --fresh forgets that.",
    ]
    longest = max(map(len, COMMANDS))
    for group in GROUPS:
        lines += ["", f"{group}:"]
        lines += [f"  {name:<{longest}}  {c.help}" for name, c in COMMANDS.items() if c.group == group]
    lines += ["", "RUN is an id, a unique prefix of it, or a name; without it the newest run is meant."]
    lines += ["`backprop COMMAND --help` says more. `backprop --version` names the version."]
    return "\n".join(lines)


def _unknown(word: str) -> UsageError:
    import difflib

    from backprop_tui.protocol.text import safe_text

    names = (
        ["--ascii", "--fresh", "--theme", "--profile", "--version", "--help"]
        if word.startswith("-")
        else list(COMMANDS)
    )
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    kind = "option" if word.startswith("-") else "command"
    hint = f"Did you mean `backprop {near[0]}`?" if near else "`backprop --help` lists them."
    return UsageError("COMMAND_UNKNOWN", f"There is no {kind} {safe_text(word, limit=80)!r}.", hint)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)


def _last_words(out: Output, error: BackpropError) -> int:
    try:
        out.error(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error.exit_code


def _unexpected(error: Exception) -> BackpropError:
    import traceback

    from backprop_tui.config import paths
    from backprop_tui.protocol.text import safe_text

    if os.environ.get("BACKPROP_DEBUG"):
        raise error
    what = f"{type(error).__name__}: {safe_text(error, limit=200)}"
    file = paths.cache_dir() / "error.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        hint = f"A run that is going is not touched by this. The details are in {file}."
    except OSError:
        hint = "A run that is going is not touched by this. BACKPROP_DEBUG=1 shows the details."
    return RunFailed("UNEXPECTED", f"Something went wrong that should not ({what}).", hint)
