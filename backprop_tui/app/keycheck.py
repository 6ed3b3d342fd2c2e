"""A person's own keys against the registry: what is taken over, what is refused and why. Imports nothing heavy.

A key may mean different things in different places: what has the focus answers first, then the room, then the app. Within
one place a key has one meaning.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from backprop_tui.app.actions import SCOPES, Action, registry
from backprop_tui.app.keynames import key_words, read_key
from backprop_tui.protocol.text import safe_text

Kind = Literal["unknown action", "unknown key", "clash", "hidden"]

#: Scopes whose keys answer around a scope, the nearest first.
AROUND: dict[str, tuple[str, ...]] = {
    "data": ("shell",),
    "tune": ("shell",),
    "run": ("shell",),
    "chart": ("run", "shell"),
    "log": ("run", "shell"),
    "samples": ("run", "shell"),
    "alerts": ("run", "shell"),
    "runs": ("shell",),
    "compare": ("shell",),
    "replay": ("shell",),
    "settings": ("shell",),
    "list": ("data", "tune", "run", "runs", "compare", "settings", "shell"),
    "shell": (),
}


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """One entry of `[keys]` that does not do what it says. `refused` entries leave the action its own keys."""

    action: str
    kind: Kind
    text: str
    refused: bool = True


@dataclass(frozen=True, slots=True)
class Keymap:
    """What is taken over: keys by action id, as Textual spells them, and everything that was wrong."""

    keys: Mapping[str, str]
    problems: tuple[KeyProblem, ...]

    def of(self, action: Action) -> tuple[str, ...]:
        """The keys of an action as they are now."""
        return tuple(self.keys[action.id].split(",")) if action.id in self.keys else action.own_keys


def check_keymap(wanted: Mapping[str, str]) -> Keymap:
    """Read `[keys]`: unknown actions and keys are refused, and so is an entry that would give one key two meanings.

    Args:
        wanted: keys by action id as the person wrote them, several separated by commas (`comma` names the comma).
    """
    if not wanted:
        return Keymap({}, ())
    problems: list[KeyProblem] = []
    taken: dict[str, str] = {}
    for name, words in wanted.items():
        if name not in registry():
            near = difflib.get_close_matches(name, registry(), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "`backprop config keys` lists them."
            problems.append(KeyProblem(name, "unknown action", f"There is no action {_quoted(name)}; {hint}"))
            continue
        keys, wrong = _read_keys(words)
        if wrong:
            text = f"{name} = {_quoted(words)}: {wrong}; it keeps {_words(registry()[name].own_keys)}."
            problems.append(KeyProblem(name, "unknown key", text))
        elif keys != registry()[name].own_keys:
            taken[name] = ",".join(keys)
    while (clash := next(_clashes(taken), None)) is not None:
        key, first, second = clash
        refused = second if second.id in taken else first
        del taken[refused.id]
        text = (
            f"{first.id} and {second.id} share {key_words(key)} ({SCOPES.get(first.scope, first.scope)}); "
            f"{refused.id} keeps {_words(refused.own_keys)}."
        )
        problems.append(KeyProblem(refused.id, "clash", text))
    problems += _hidden(taken)
    return Keymap(taken, tuple(problems))


def shared_keys() -> list[tuple[str, Action, Action]]:
    """Keys with two meanings in one scope among the keys that ship: a mistake of ours, for a test."""
    return list(_clashes({}))


def _read_keys(words: str) -> tuple[tuple[str, ...], str]:
    keys: list[str] = []
    parts = [words] if words.strip() == "," else words.split(",")
    for part in parts:
        key, wrong = read_key(part if part == " " else part.strip())
        if wrong:
            return (), wrong
        if key not in keys:
            keys.append(key)
    return tuple(keys), ""


def _clashes(taken: Mapping[str, str]) -> Iterator[tuple[str, Action, Action]]:
    """Keys with two meanings in one scope; entries of the person's own come second."""
    meaning: dict[tuple[str, str], Action] = {}
    ordered = sorted(registry().values(), key=lambda action: action.id in taken)
    for action in ordered:
        for key in taken[action.id].split(",") if action.id in taken else action.own_keys:
            other = meaning.setdefault((action.scope, key), action)
            if other is not action and not _same(other, action):
                yield key, other, action


def _same(one: Action, other: Action) -> bool:
    """Two names of one thing: movement shown in a room's footer under a name of the room's."""
    return one.call == other.call


def _hidden(taken: Mapping[str, str]) -> list[KeyProblem]:
    """Entries whose key means something else farther out, which it hides while its own scope answers."""
    problems = []
    for name, keys in taken.items():
        action = registry()[name]
        for scope in AROUND.get(action.scope, ("shell",)):
            for other in registry().values():
                if other.scope != scope:
                    continue
                theirs = taken[other.id].split(",") if other.id in taken else other.own_keys
                for key in set(keys.split(",")) & set(theirs):
                    where = SCOPES.get(action.scope, action.scope)
                    text = f"{name} takes {key_words(key)} from {other.id} while {where} has the focus."
                    problems.append(KeyProblem(name, "hidden", text, refused=False))
    return problems


def _words(keys: tuple[str, ...]) -> str:
    return " ".join(key_words(key) for key in keys)


def _quoted(words: str) -> str:
    return repr(safe_text(words, limit=60))
