"""`backprop data ACTION …`: look at data, choose from it, write it anew. One module per action, imported when it is named."""

from __future__ import annotations

import os
from argparse import REMAINDER, SUPPRESS, ArgumentParser, Namespace
from importlib import import_module
from typing import TYPE_CHECKING, cast

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import Parser, add_json
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.cli.registry import CommandModule

#: What can be done with data; each is the name of a module here.
ACTIONS: dict[str, str] = {
    "inspect": "what is in it, what is wrong and where, and what a model would learn from it",
    "rows": "single rows as the model sees them, with the trained text marked",
    "columns": "the columns there are, and what they could be mapped to",
    "convert": "write the rows in another format",
    "filter": "keep the rows for which an expression holds",
    "dedup": "leave out rows that are there already",
    "split": "hold rows out to measure on",
    "sample": "draw rows at random",
    "shuffle": "put the rows in a random order",
    "sort": "put the rows in order, from easy to difficult",
    "score": "add to each row how well a model predicts it",
    "overlap": "find out whether held-out rows are among the others",
    "fingerprint": "what identifies the data, whatever it is called and wherever it lies",
    "diff": "what is different between two datasets",
}
_DATA = """\
DATA is a file, a folder, a pattern such as 'data/**/*.jsonl', FILE.json#field, a dataset of the Hugging Face hub
(hf://datasets/ORG/NAME), `demo`, or several of these joined by ' + '."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    longest = max(map(len, ACTIONS))
    listed = "\n".join(f"  {name:<{longest}}  {about}" for name, about in ACTIONS.items())
    parser.usage = "backprop data [ACTION] DATA …"
    parser.epilog = (
        f"actions (inspect if none is named):\n{listed}\n\n{_DATA}\n`backprop data ACTION --help` says more."
    )
    add_json(parser)
    parser.add_argument("action", metavar="ACTION", help="one of those below, or the data to inspect")
    # Named in a complaint about what is missing, it would only puzzle.
    parser.add_argument("words", nargs=REMAINDER, help=SUPPRESS).required = False


def run(args: Namespace, out: Output) -> int:
    """Do one of the actions."""
    # Until the words are read nobody knows better, and what is wrong with them is to be said as JSON too.
    out.as_json = args.json or "--json" in args.words
    name, words = _named(args.action, args.words)
    parsed = action_parser(name).parse_args(words)
    parsed.json = out.as_json = args.json or parsed.json
    return _module(name).run(parsed, out)


def action_parser(name: str) -> Parser:
    """The parser of one action."""
    about = ACTIONS[name]
    parser = Parser(prog=f"backprop data {name}", description=f"{about[:1].upper()}{about[1:]}.")
    _module(name).add_arguments(parser)
    add_json(parser)
    return parser


def _module(name: str) -> CommandModule:
    return cast("CommandModule", import_module(f"backprop_tui.cli.data.{name}"))


def _named(word: str, words: list[str]) -> tuple[str, list[str]]:
    """The action and its words; a word that names data stands for itself.

    Raises:
        UsageError: DATA_ACTION_UNKNOWN.
    """
    if word in ACTIONS:
        return word, words
    if word == "demo" or any(sign in word for sign in "/.*?[# ") or os.path.lexists(word):
        return "inspect", [word, *words]
    import difflib

    near = difflib.get_close_matches(word, ACTIONS, n=1, cutoff=0.5)
    hint = f"Did you mean `backprop data {near[0]}`?" if near else f"There are {', '.join(ACTIONS)}."
    raise UsageError(
        "DATA_ACTION_UNKNOWN", f"{safe_text(word, limit=80)!r} is neither a file nor something to do with data.", hint
    )
