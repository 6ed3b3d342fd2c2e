"""The filter of the list of runs: `loss<1.2 state:failed model~qwen age<7d tag:good lr>=1e-4 has:eval !archived`.

Words are separated by blanks and all must hold. NAME OP VALUE compares: `<` `<=` `>` `>=` numbers and durations, `=` `!=`
the whole value, `:` the usual meaning of the name (contains, for texts), `~` contains, with `*` for anything. Commas give
alternatives, `!` before a word turns it around, quotes keep blanks together. A word without an operator is looked for in
name, model, data and tags. NAME is a figure of the list or any setting of a run, by its key or alias. What is unknown of a
run fulfils no comparison.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Literal, NoReturn

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry

Kind = Literal["number", "duration", "text", "words", "choice", "bool"]
Test = Callable[[Entry], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """Something to compare: `of` gives its value for a run, None when unknown. `setting` is the key in the spec."""

    name: str
    kind: Kind
    of: Callable[[Entry], Any]
    setting: str = ""
    choices: tuple[str, ...] = ()


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


def _field(name: str, kind: Kind, *, of: Callable[[Entry], Any] | None = None, choices: tuple[str, ...] = ()) -> Field:
    return Field(name, kind, of or operator.attrgetter(name), "", choices)


_STATES = tuple(state.value for state in RunState)
_FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        _field("loss", "number"),
        _field("eval", "number", of=operator.attrgetter("eval_loss")),
        _field("best", "number"),
        _field("match", "number", of=operator.attrgetter("exact_match")),
        _field("grad_norm", "number"),
        _field("step", "number"),
        _field("epoch", "number"),
        _field("tokens", "number"),
        _field("speed", "number", of=operator.attrgetter("tokens_per_s")),
        _field("energy", "number", of=operator.attrgetter("energy_wh")),
        _field("checkpoints", "number"),
        _field("attempt", "number"),
        _field("progress", "number", of=lambda run: run.step / run.total_steps if run.total_steps else None),
        _field("age", "duration", of=lambda run: run.created or None),
        _field("quiet", "duration", of=lambda run: run.updated),
        _field("time", "duration", of=operator.attrgetter("seconds")),
        _field("state", "choice", of=lambda run: run.state.value, choices=_STATES),
        _field("tag", "words", of=operator.attrgetter("tags")),
        _field("name", "text", of=operator.attrgetter("title")),
        _field("id", "text"),
        _field("model", "text"),
        _field("data", "text"),
        _field("note", "text"),
        _field("experiment", "text"),
        _field("fault", "text"),
    )
}
#: What a run of a sweep notes of it, kept with its settings.
_SWEPT = {
    "sweep": Field("sweep", "text", lambda run: run.settings.get("sweep"), "sweep"),
    "trial": Field("trial", "number", lambda run: run.settings.get("trial"), "trial"),
}
#: What `has:` asks for.
_HAS: dict[str, Test] = {
    "eval": lambda run: run.eval_loss is not None,
    "best": lambda run: run.best is not None,
    "match": lambda run: run.exact_match is not None,
    "loss": lambda run: run.loss is not None,
    "checkpoint": lambda run: run.checkpoints > 0,
    "fault": lambda run: bool(run.fault),
    "tag": lambda run: bool(run.tags),
    "note": lambda run: bool(run.note),
    "experiment": lambda run: bool(run.experiment),
    "nan": lambda run: any(value is not None and math.isnan(value) for value in (run.loss, run.eval_loss)),
}
#: What `is:` asks for, and what some words alone do.
_IS: dict[str, Test] = {
    "archived": lambda run: run.archived,
    "live": lambda run: run.state.live,
    "ended": lambda run: not run.state.live and run.state is not RunState.QUEUED,
    "resumed": lambda run: run.attempt > 1,
}
_FLAGS = frozenset(("archived", "live"))
_COUNTED_FROM_NOW = frozenset(("age", "quiet"))
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_SCALES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+|["']""")
_COMPARISON = re.compile(r"(!?)([A-Za-z_][\w.-]*)(<=|>=|!=|!~|<|>|=|:|~)(.*)", re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)(%|[a-z]*)", re.IGNORECASE)
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
            _refuse("FILTER_SYNTAX", at, f"this {word} is not closed", f"Write another {word} after the words.")
    for word, at in words:
        test, setting, about = _term(word, at, now)
        tests.append(test)
        settings.update(setting)
        archived = archived or about
    return Filter(text, tuple(tests), frozenset(settings), archived)


def find_field(name: str) -> Field | None:
    """A figure of the list, or a setting by key or alias."""
    wanted = name.lower().replace("-", "_")
    if wanted in _FIELDS:
        return _FIELDS[wanted]
    if wanted in _SWEPT:
        return _SWEPT[wanted]
    # pydantic comes along, so only when a name is none of the list's own.
    from backprop_tui.protocol.fields import find_setting

    try:
        setting = find_setting(wanted)
    except UsageError:
        return None
    key = setting.key
    kinds: dict[str, Kind] = {"int": "number", "float": "number", "bool": "bool", "choice": "choice", "str": "text"}
    return Field(wanted, kinds[setting.kind], lambda run: run.settings.get(key), key, setting.choices)


def field_names() -> list[str]:
    """Every name a filter may compare: figures first, then settings by key."""
    from backprop_tui.protocol.fields import settings

    return list(dict.fromkeys((*_FIELDS, *_SWEPT, "has", "is", *(setting.key for setting in settings()))))


def flag_words(name: str) -> tuple[str, ...]:
    """What may stand behind `has:` or `is:`."""
    return tuple(_HAS if name == "has" else _IS)


def _term(word: str, at: int, now: float) -> tuple[Test, tuple[str, ...], bool]:
    """The test of one word, the settings it needs, and whether it speaks of archived runs."""
    found = _COMPARISON.fullmatch(word)
    if found is None:
        turned, plain = (True, word[1:]) if word[0] == "!" else (False, word)
        if not plain:
            _refuse("FILTER_SYNTAX", at, "`!` stands alone", "Write it before a word, such as `!archived`.")
        if plain.lower() in _FLAGS:
            return _turned(_IS[plain.lower()], turned), (), plain.lower() == "archived"
        if plain[0] in "<>=:~":
            _refuse("FILTER_SYNTAX", at, "a comparison has no name", "Write one before it, such as `loss<1.2`.")
        needle = _bare(plain).casefold()
        return _turned(lambda run: needle in run.haystack, turned), (), False
    bang, name, sign, value = found.groups()
    place = at + len(bang) + len(name) + len(sign)
    if not value:
        _refuse(
            "FILTER_VALUE", place, f"{name}{sign} has no value", f"Write one behind it, such as `{_example(name)}`."
        )
    if name.lower() in ("has", "is"):
        table = _HAS if name.lower() == "has" else _IS
        if sign not in (":", "=", "!="):
            _refuse("FILTER_SYNTAX", at, f"{name} takes a colon", f"Write `{name}:{next(iter(table))}`.")
        tests = [_flag(table, name, part, place) for part in _alternatives(value)]
        about = any(part.lower() == "archived" for part in _alternatives(value))
        return _turned(_any(tests), bool(bang) ^ (sign == "!=")), (), about
    field = find_field(name)
    if field is None:
        near = _nearest(name)
        hint = f"Did you mean `{near}`?" if near else f'To look for the text, write it in quotes: "{word}".'
        _refuse("FILTER_UNKNOWN", at + len(bang), f"there is no figure or setting {name!r}", hint)
    base = sign.lstrip("!")
    parts = _alternatives(value)
    if base in _ORDERED and len(parts) > 1:
        _refuse("FILTER_VALUE", place, f"{name}{sign} takes one value", "Alternatives go with `:` or `=`.")
    test = _any([_compared(field, base, part, place, now) for part in parts])
    if sign != base:
        test = _known_and_not(field, test)
    return _turned(test, bool(bang)), (field.setting,) if field.setting else (), False


def _known_and_not(field: Field, test: Test) -> Test:
    """`!=` is a comparison as well, so what is unknown of a run doesn't fulfil it; a `!` before the word does."""
    return lambda run: field.of(run) is not None and not test(run)


def _compared(field: Field, sign: str, value: str, at: int, now: float) -> Test:
    of = field.of
    if field.kind in ("number", "duration"):
        if sign == "~":
            _refuse("FILTER_SYNTAX", at, f"{field.name} is a number", "Compare it with < <= > >= = or !=.")
        return _number_test(field, sign, value, at, now)
    if sign in _ORDERED:
        _refuse("FILTER_SYNTAX", at, f"{field.name} has no order", "Compare it with : = != or ~.")
    if field.kind == "bool":
        wanted = {
            "on": True,
            "true": True,
            "yes": True,
            "1": True,
            "off": False,
            "false": False,
            "no": False,
            "0": False,
        }
        if value.lower() not in wanted:
            _refuse("FILTER_VALUE", at, f"{field.name} is on or off", "Write on or off.")
        expected = wanted[value.lower()]
        return lambda run: (found := of(run)) is not None and bool(found) is expected
    needle = value.casefold()
    if field.kind == "choice" and sign in (":", "="):
        fits = [choice for choice in field.choices if choice == needle or (sign == ":" and choice.startswith(needle))]
        if not fits:
            near = difflib.get_close_matches(needle, field.choices, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}? " if near else ""
            _refuse("FILTER_VALUE", at, f"{field.name} is never {value!r}", f"{hint}It is {', '.join(field.choices)}.")
        chosen = frozenset(fits)
        return lambda run: of(run) in chosen
    if "*" in needle:
        pattern = re.compile(translate(needle if sign == "=" else f"*{needle}*"))
        test: Callable[[str], bool] = lambda text: pattern.match(text) is not None  # noqa: E731
    elif sign == "=" or (field.kind == "words" and sign == ":"):
        test = lambda text: text == needle  # noqa: E731
    else:
        test = lambda text: needle in text  # noqa: E731
    if field.kind == "words":
        return lambda run: any(test(item.casefold()) for item in of(run))
    return lambda run: (found := of(run)) is not None and test(str(found).casefold())


def _number_test(field: Field, sign: str, value: str, at: int, now: float) -> Test:
    of = field.of
    if value.lower() == "nan":
        if sign in _ORDERED:
            _refuse("FILTER_VALUE", at, "nan has no order", f"Write `{field.name}:nan`.")
        return lambda run: (found := of(run)) is not None and isinstance(found, float) and math.isnan(found)
    wanted = _seconds(value, field, at) if field.kind == "duration" else _number(value, field, at)
    if field.name in _COUNTED_FROM_NOW:
        value_of: Callable[[Entry], Any] = lambda run: None if (since := of(run)) is None else now - since  # noqa: E731
    else:
        value_of = of
    compare = _ORDERED.get(sign)
    if compare is not None:
        return lambda run: _is_number(found := value_of(run)) and compare(found, wanted)
    return lambda run: _is_number(found := value_of(run)) and _close(found, wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _close(found: float, wanted: float) -> bool:
    """Equal as people mean it: what is shown as 0.1 may be a hair away. Large whole numbers don't fit a float."""
    return found == wanted or (isinstance(found, float) and math.isclose(found, wanted, rel_tol=1e-9))


def _number(text: str, field: Field, at: int) -> float:
    if text.lower() in ("inf", "+inf", "-inf"):
        return float(text)
    found = _NUMBER.fullmatch(text)
    scale = _SCALES.get(found.group(2).lower(), 0.01 if found.group(2) == "%" else None) if found else None
    if found is None or (found.group(2) and scale is None):
        _refuse("FILTER_VALUE", at, f"{text!r} is not a number", f"Write one, such as `{_example(field.name)}`.")
    return float(found.group(1).replace("_", "")) * (scale or 1.0)


def _seconds(text: str, field: Field, at: int) -> float:
    found = _NUMBER.fullmatch(text)
    unit = found.group(2).lower() if found else ""
    if found is None or unit not in _SECONDS:
        _refuse("FILTER_VALUE", at, f"{text!r} is not a duration", f"Write `{field.name}<7d`; units are s m h d w.")
    return float(found.group(1).replace("_", "")) * _SECONDS[unit]


def _flag(table: Mapping[str, Test], name: str, value: str, at: int) -> Test:
    found = table.get(value.lower())
    if found is None:
        near = difflib.get_close_matches(value.lower(), table, n=1, cutoff=0.5)
        hint = f"Did you mean `{name}:{near[0]}`? " if near else ""
        _refuse("FILTER_VALUE", at, f"nothing is asked by {name}:{value}", f"{hint}There is {', '.join(table)}.")
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


def _example(name: str) -> str:
    known = {"age": "age<7d", "time": "time>1h", "quiet": "quiet>10m", "state": "state:failed", "tag": "tag:good"}
    return known.get(name.lower(), f"{safe_text(name, limit=40)}<1.2")


def _refuse(code: str, column: int, cause: str, hint: str) -> NoReturn:
    cause = safe_text(cause, limit=160)
    raise UsageError(code, f"Column {column}: {cause}.", safe_text(hint, limit=300), {"column": column})
