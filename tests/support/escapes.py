"""What a program may say to a terminal: every escape sequence among its bytes, by kind, and which colours they ask for."""

from __future__ import annotations

import re

#: CSI, OSC (ended by BEL or ST), DCS and friends, and the two-byte forms.
_SEQUENCE = re.compile(
    rb"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    rb"|\x1b\](?P<osc>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    rb"|\x1b(?P<string>[PX^_])[^\x1b]*\x1b\\"
    rb"|\x1b(?P<short>[ -/]*[0-~])"
)
#: Sequences of ours and Textual's: cursor, erasing, colours, modes, key protocol, queries.
_CSI = {
    b"H",
    b"m",
    b"h",
    b"l",
    b"u",
    b"p",
    b"J",
    b"K",
    b"A",
    b"B",
    b"C",
    b"D",
    b"G",
    b"d",
    b"X",
    b"n",
    b"t",
    b"q",
    b"r",
}
#: Modes that may be switched.
_MODES = {
    b"7",
    b"25",
    b"1000",
    b"1002",
    b"1003",
    b"1004",
    b"1006",
    b"1015",
    b"1016",
    b"1049",
    b"2004",
    b"2026",
    b"2048",
}
#: Those a terminal has on by itself.
_ON = {b"7", b"25"}


def foreign(raw: bytes) -> list[bytes]:
    """Sequences that are not among those the app has reason to send."""
    found = []
    for match in _SEQUENCE.finditer(raw):
        if match["final"]:
            modes = match["parameters"].removeprefix(b"?").split(b";")
            known = match["final"] in _CSI and (match["final"] not in b"hl" or set(modes) <= _MODES)
        elif match["osc"] is not None:
            known = match["osc"].startswith((b"0;", b"22;", b"22"))
        else:
            known = match["string"] is None and match["short"] in (b"7", b"8", b"=", b">", b"(B")
        if not known:
            found.append(match.group())
    rest = _SEQUENCE.sub(b"", raw)
    found += re.findall(rb".{0,10}\x1b.{0,10}|\xc2[\x80-\x9f]|[\x00-\x06\x0e-\x1a\x1c-\x1f]", rest, re.DOTALL)
    return found


def colours(raw: bytes) -> str:
    """The most colours that were asked for: `none`, `16`, `256` or `truecolor`."""
    most = 0
    for match in _SEQUENCE.finditer(raw):
        if match["final"] != b"m":
            continue
        parts = match["parameters"].replace(b":", b";").split(b";")
        at = 0
        while at < len(parts):
            code = int(parts[at] or 0)
            if code in (38, 48, 58) and at + 1 < len(parts):
                true = parts[at + 1] == b"2"
                most = max(most, 3 if true else 2)
                at += 5 if true else 3
                continue
            if 30 <= code <= 37 or 40 <= code <= 47 or 90 <= code <= 97 or 100 <= code <= 107:
                most = max(most, 1)
            at += 1
    return ("none", "16", "256", "truecolor")[most]


def not_restored(raw: bytes) -> list[str]:
    """Modes that were switched on and not off again, or off and not on for those a terminal has on."""
    state: dict[bytes, bytes] = {}
    keys = 0
    for match in _SEQUENCE.finditer(raw):
        if match["final"] in (b"h", b"l") and match["parameters"].startswith(b"?"):
            for mode in match["parameters"][1:].split(b";"):
                state[mode] = match["final"]
        elif match["final"] == b"u" and match["parameters"][:1] in (b">", b"<"):
            keys += 1 if match["parameters"][:1] == b">" else -1
    left = [f"?{mode.decode()}{final.decode()}" for mode, final in state.items() if (final == b"h") != (mode in _ON)]
    return left + (["kitty keys"] if keys > 0 else [])
