"""argparse with our manners: errors are `UsageError`s with the nearest match, help is short."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import Any, NoReturn

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

_UNRECOGNISED = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, and takes no abbreviated options (they break when options are added).

    Attributes:
        intermixed: whether options may stand between the words of a list.
    """

    def __init__(self, **words: Any) -> None:
        words.setdefault("allow_abbrev", False)
        words.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**words)
        self.intermixed = False

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What the words say.

        Raises:
            UsageError: they can't be understood.
        """
        if self.intermixed:
            return self.parse_intermixed_args(args, namespace)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into one of ours.

        Raises:
            UsageError: always.
        """
        extra = _UNRECOGNISED.match(message)
        hint = f"`{self.prog} --help` shows what it takes."
        if extra:
            word = extra.group(1).split(" ")[0]
            options = [option for action in self._actions for option in action.option_strings]
            near = (
                difflib.get_close_matches(word.split("=")[0], options, n=1, cutoff=0.6) if word.startswith("-") else []
            )
            if near:
                hint = f"Did you mean `{near[0]}`?"
            message = f"{self.prog} does not take {safe_text(word, limit=80)!r}"
        else:
            message = safe_text(message, limit=300)
            message = f"{self.prog}: {message}"
        raise UsageError("USAGE", f"{message}.", hint)


def add_json(parser: argparse.ArgumentParser, help: str = "print JSON") -> None:
    """The `--json` every listing has."""
    parser.add_argument("--json", action="store_true", help=help)


def add_run(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """The RUN every command about one run takes; without it the newest run is meant."""
    words = "id, unique prefix of it, or name"
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs=None if required else "?",
        help=words if required else f"{words}; the newest if absent",
    )
