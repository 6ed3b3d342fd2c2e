"""The filter of the list of runs: `loss<1.2 state:failed model~qwen age<7d tag:good lr>=1e-4 has:eval !archived`.

Words are separated by blanks and all must hold. NAME OP VALUE compares: `<` `<=` `>` `>=` numbers and durations, `=` `!=`
the whole value, `:` the usual meaning of the name (contains, for texts), `~` contains, with `*` for anything. Commas give
alternatives, `!` before a word turns it around, quotes keep blanks together. A word without an operator is looked for in
name, model, data and tags. NAME is a figure of the list or any setting of a run, by its key or alias. What is unknown of a
run fulfils no comparison.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from backprop_tui.store.entry import Entry
from backprop_tui.store.filter_compare import ORDERED, compared, example, refuse
from backprop_tui.store.filter_fields import FLAGS, HAS, IS, Field, Test, field_names, find_field

_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+|["']""")
_COMPARISON = re.compile(r"(!?)([A-Za-z_][\w.-]*)(<=|>=|!=|!~|<|>|=|:|~)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was understood.

    Attributes:
        text: as typed. settings: keys of settings that entries must carry before `matches` is asked.
        archived: whether it speaks of archived runs itself.
    """

    text: str
    tests: tuple[Test, ...] = ()
    settings: frozenset[str] = frozenset()
    archived: bool = False

    def matches(self, entry: Entry) -> bool:
        """Whether every word holds for a run."""
        return all(test(entry) for test in self.tests)


def parse_filter(text: str, *, now: float | None = None) -> Filter:
    """Understand a filter; no text lets everything pass.

    Args:
        text: as typed.
        now: seconds since the Unix epoch that ages count from; None is this moment.

    Raises:
        UsageError: FILTER_UNKNOWN, FILTER_VALUE or FILTER_SYNTAX, naming the column (from 1), which is in `detail` too.
    """
    now = time.time() if now is None else now
    tests: list[Test] = []
    settings: set[str] = set()
    archived = False
    words = [(match.group(), match.start() + 1) for match in _WORD.finditer(text)]
    for word, at in words:
        if word in ('"', "'"):
            refuse("FILTER_SYNTAX", at, f"this {word} is not closed", f"Write another {word} after the words.")
    for word, at in words:
        test, setting, about = _term(word, at, now)
        tests.append(test)
        settings.update(setting)
        archived = archived or about
    return Filter(text, tuple(tests), frozenset(settings), archived)


def _term(word: str, at: int, now: float) -> tuple[Test, tuple[str, ...], bool]:
    """The test of one word, the settings it needs, and whether it speaks of archived runs."""
    found = _COMPARISON.fullmatch(word)
    if found is None:
        turned, plain = (True, word[1:]) if word[0] == "!" else (False, word)
        if not plain:
            refuse("FILTER_SYNTAX", at, "`!` stands alone", "Write it before a word, such as `!archived`.")
        if plain.lower() in FLAGS:
            return _turned(IS[plain.lower()], turned), (), plain.lower() == "archived"
        if plain[0] in "<>=:~":
            refuse("FILTER_SYNTAX", at, "a comparison has no name", "Write one before it, such as `loss<1.2`.")
        needle = _bare(plain).casefold()
        return _turned(lambda run: needle in run.haystack, turned), (), False
    bang, name, sign, value = found.groups()
    place = at + len(bang) + len(name) + len(sign)
    if not value:
        refuse("FILTER_VALUE", place, f"{name}{sign} has no value", f"Write one behind it, such as `{example(name)}`.")
    if name.lower() in ("has", "is"):
        table = HAS if name.lower() == "has" else IS
        if sign not in (":", "=", "!="):
            refuse("FILTER_SYNTAX", at, f"{name} takes a colon", f"Write `{name}:{next(iter(table))}`.")
        tests = [_flag(table, name, part, place) for part in _alternatives(value)]
        about = any(part.lower() == "archived" for part in _alternatives(value))
        return _turned(_any(tests), bool(bang) ^ (sign == "!=")), (), about
    field = find_field(name)
    if field is None:
        near = _nearest(name)
        hint = f"Did you mean `{near}`?" if near else f'To look for the text, write it in quotes: "{word}".'
        refuse("FILTER_UNKNOWN", at + len(bang), f"there is no figure or setting {name!r}", hint)
    base = sign.lstrip("!")
    parts = _alternatives(value)
    if base in ORDERED and len(parts) > 1:
        refuse("FILTER_VALUE", place, f"{name}{sign} takes one value", "Alternatives go with `:` or `=`.")
    test = _any([compared(field, base, part, place, now) for part in parts])
    if sign != base:
        test = _known_and_not(field, test)
    return _turned(test, bool(bang)), (field.setting,) if field.setting else (), False


def _known_and_not(field: Field, test: Test) -> Test:
    """`!=` is a comparison as well, so what is unknown of a run doesn't fulfil it; a `!` before the word does."""
    return lambda run: field.of(run) is not None and not test(run)


def _flag(table: Mapping[str, Test], name: str, value: str, at: int) -> Test:
    found = table.get(value.lower())
    if found is None:
        near = difflib.get_close_matches(value.lower(), table, n=1, cutoff=0.5)
        hint = f"Did you mean `{name}:{near[0]}`? " if near else ""
        refuse("FILTER_VALUE", at, f"nothing is asked by {name}:{value}", f"{hint}There is {', '.join(table)}.")
    return found


def _alternatives(value: str) -> list[str]:
    """The parts of a value between commas; quotes keep a comma inside."""
    parts = re.findall(r"""(?:"[^"]*"|'[^']*'|[^,"'])+""", value)
    return [bare for part in parts if (bare := _bare(part))] or [""]


def _bare(text: str) -> str:
    return text.replace('"', "").replace("'", "")


def _any(tests: list[Test]) -> Test:
    return tests[0] if len(tests) == 1 else lambda run: any(test(run) for test in tests)


def _turned(test: Test, turned: bool) -> Test:
    return (lambda run: not test(run)) if turned else test


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), field_names(), n=1, cutoff=0.6)
    return near[0] if near else ""
