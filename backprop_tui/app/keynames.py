"""Names of keys: as Textual spells them, as people write them, and which of them a terminal can send at all."""

from __future__ import annotations

import difflib
import unicodedata

#: Unicode names that Textual shortens.
_SHORTER = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_NAMED = (
    "escape", "enter", "space", "tab", "up", "down", "left", "right", "pageup", "pagedown", "home", "end", "insert",
    "delete", "backspace", *(f"f{number}" for number in range(1, 25)),
)  # fmt: skip
_MODIFIERS = ("ctrl", "alt", "shift", "super", "meta", "hyper")
#: Keys that reach most terminals as another one.
_SAME = {"ctrl+i": "Tab", "ctrl+m": "Enter", "ctrl+j": "Enter", "ctrl+h": "Backspace"}
_WORDS = {
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "⇧Tab",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "insert": "Ins",
    "delete": "Del",
    "backspace": "⌫",
}
_OTHER_WORDS = {
    "esc": "escape",
    "return": "enter",
    "del": "delete",
    "ins": "insert",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "pgdown": "pagedown",
    "page_up": "pageup",
    "page_down": "pagedown",
    "control": "ctrl",
    "option": "alt",
}


def character_name(character: str) -> str:
    """Textual's name of the key that types a character: `?` is `question_mark`."""
    if character.isalnum():
        return character
    if character == " ":
        return "space"
    name = unicodedata.name(character, "").lower().replace("-", "_").replace(" ", "_")
    return _SHORTER.get(name, name) or character


_SIGNS = {character_name(chr(code)): chr(code) for code in range(33, 127) if not chr(code).isalnum()}


def key_words(key: str) -> str:
    """A key as people write it: `^P`, `?`, `Esc`, `x`."""
    if key in _WORDS:
        return _WORDS[key]
    if key in _SIGNS:
        return _SIGNS[key]
    if key.startswith("ctrl+"):
        return f"^{key_words(key[5:]).upper()}"
    if "+" in key:
        first, _, rest = key.partition("+")
        return f"{'⇧' if first == 'shift' else first.capitalize() + '+'}{key_words(rest)}"
    return key.upper() if key in _NAMED else key


def read_key(words: str) -> tuple[str, str]:
    """A key somebody wrote, as Textual spells it, and what is wrong with it.

    Args:
        words: `X`, `?`, `ctrl+x`, `F5`, `space`, `question_mark`.

    Returns:
        The name and an empty text, or an empty name and half a sentence.
    """
    words = words if words == " " else words.strip()
    if not words:
        return "", "no key is named"
    if len(words) == 1:
        name = character_name(words)
        return (name, "") if words.isprintable() else ("", "this character is no key")
    *before, last = words.split("+") if not words.endswith("+") else [*words[:-2].split("+"), "+"]
    modifiers = [_OTHER_WORDS.get(part.strip().lower(), part.strip().lower()) for part in before]
    for modifier in modifiers:
        if modifier not in _MODIFIERS:
            return "", f"there is no key {words!r}{_nearest(modifier, _MODIFIERS)}"
    last = last.strip()
    if len(last) == 1:
        # A capital behind a modifier is the same key with shift; terminals report the small letter.
        last = character_name(last.lower() if modifiers else last)
    else:
        last = _OTHER_WORDS.get(last.lower(), last.lower())
        if last not in _NAMED and last not in _SIGNS:
            return "", f"there is no key {words!r}{_nearest(last, (*_NAMED, *_SIGNS))}"
    name = "+".join([*sorted(modifiers, key=_MODIFIERS.index), last])
    if name in _SAME:
        return "", f"terminals can't tell {key_words(name)} from {_SAME[name]}"
    return name, ""


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
