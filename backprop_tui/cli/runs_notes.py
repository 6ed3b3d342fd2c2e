"""`backprop runs tag|untag|note|rename|experiment|archive|unarchive`: what people note of a run, beside it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace

from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_block, safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.notes import Notes, change_notes, read_notes

Change = Callable[[Notes], Notes]

#: Each action: whether every word names a run, and what it makes of the notes given the other words.
ACTIONS: dict[str, tuple[bool, Callable[[Sequence[str]], Change]]] = {
    "tag": (False, lambda words: lambda notes: notes.tagged(words)),
    "untag": (False, lambda words: lambda notes: notes.untagged(words)),
    "note": (False, lambda words: lambda notes: notes.noting(" ".join(words))),
    "rename": (False, lambda words: lambda notes: notes.named(" ".join(words))),
    "experiment": (False, lambda words: lambda notes: notes.within(" ".join(words))),
    "archive": (True, lambda _: lambda notes: replace(notes, archived=True)),
    "unarchive": (True, lambda _: lambda notes: replace(notes, archived=False)),
}


def change(args: Namespace, fits: list[Entry] | None, out: Output) -> int:
    """Do one action to the runs named, or to all that fit `--where` (None when it was not given).

    Raises:
        UsageError: no run is named, or something that the action needs.
    """
    every, make = ACTIONS[args.action]
    words = list(args.run)
    runs, rest = _meant(args.action, words, fits, every)
    if not rest and not every:
        if args.action == "note":
            return _show(runs, args.json, out)
        raise _missing(args.action, f"what to {args.action} with" if "tag" in args.action else "a name")
    done: list[tuple[RunDir, Notes]] = [(run, change_notes(run, make(rest))) for run in runs]
    if args.json:
        out.json([{"id": run.id, **notes.to_dict()} for run, notes in done])
        return EXIT_OK
    for run, notes in done:
        out.say(f"{run.short_id}: {_words(args.action, notes)}")
    if not done:
        out.say("No run fits; nothing was changed.")
    return EXIT_OK


def _meant(action: str, words: list[str], fits: list[Entry] | None, every: bool) -> tuple[list[RunDir], list[str]]:
    """The runs an action is for, and the words left for it. All are found before anything is changed."""
    if fits is not None:
        if every and words:
            raise UsageError("USAGE", "Runs are named or chosen by --where, not both.", "Leave one of them out.")
        return [find_run(entry.id) for entry in fits], words
    if not words:
        raise _missing(action, "a run")
    if every:
        return [find_run(word) for word in words], []
    return [find_run(words[0])], words[1:]


def _missing(action: str, what: str) -> UsageError:
    return UsageError("USAGE", f"`backprop runs {action}` needs {what}.", "`backprop runs --help` shows what it takes.")


def _show(runs: list[RunDir], as_json: bool, out: Output) -> int:
    if as_json:
        out.json([{"id": run.id, **read_notes(run).to_dict()} for run in runs])
        return EXIT_OK
    for run in runs:
        note = read_notes(run).note
        out.line(safe_block(note)) if note else out.say(f"{run.short_id} has no note.")
    return EXIT_OK


def _words(action: str, notes: Notes) -> str:
    if action in ("tag", "untag"):
        return "tags " + (safe_text(", ".join(notes.tags), limit=200) or "none")
    if action == "rename":
        return f"called {safe_text(notes.name)}" if notes.name else "called as at its start"
    if action == "experiment":
        return f"in experiment {safe_text(notes.experiment)}" if notes.experiment else "in no experiment"
    if action == "note":
        return "noted" if notes.note else "note removed"
    return "archived; `backprop runs --all` lists it" if notes.archived else "listed again"
