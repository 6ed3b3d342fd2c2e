"""Numbers, times and cells as people read them. Unknown is `–`."""

from __future__ import annotations

import math
import re
import time
import unicodedata

UNKNOWN = "–"
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def width(text: str) -> int:
    """Cells a line takes on a terminal; our own colour sequences take none."""
    text = _STYLES.sub("", text)
    return len(text) if text.isascii() else sum(_cells(character) for character in text)


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """`text` in exactly `cells` cells: padded, or cut with `…` (colour stays whole)."""
    taken = width(text)
    if taken > cells:
        text, taken = _cut(text, cells), cells
    padding = " " * (cells - taken)
    return padding + text if right else text + padding


def shorten(text: str, cells: int) -> str:
    """`text`, cut with `…` where it is wider than `cells`."""
    return text if width(text) <= cells else _cut(text, cells).rstrip()


def loss(value: float | None) -> str:
    """Four significant digits; NaN and infinity by name."""
    if value is None:
        return UNKNOWN
    return f"{value:#.4g}".rstrip(".") if math.isfinite(value) else str(value)


def rate(value: float | None) -> str:
    """A learning rate such as `1.84e-4`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def count(value: float | None) -> str:
    """Thousands separators up to 99,999, then three digits with k, M, G, T."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if abs(value) < 100_000:
        return f"{value:,.0f}"
    for unit in "kMGT":
        value /= 1000
        if abs(value) < 1000 or unit == "T":
            return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"
    return UNKNOWN


def size(value: float | None) -> str:
    """Bytes in decimal units, as `df -H` and disk makers count."""
    if value is None:
        return UNKNOWN
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 1000 or unit == "TB":
            return (
                f"{amount:.0f} {unit}"
                if unit == "B" or amount >= 100
                else f"{amount:.2g} {unit}"
                if amount < 10
                else f"{amount:.3g} {unit}"
            )
        amount /= 1000
    return UNKNOWN


def duration(seconds: float | None) -> str:
    """`0.3 s`, `42 s`, `3 m 05 s`, `2 h 07 m`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def age(since: float | None, now: float | None = None) -> str:
    """How long ago, coarsely: `now`, `5 m`, `3 h`, `12 d`."""
    if not since:
        return UNKNOWN
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "now"


def clock(wall: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(wall))


def _cut(text: str, cells: int) -> str:
    styled = text.endswith("\x1b[0m")
    kept, taken, at = "", 0, 0
    while at < len(text):
        sequence = _STYLES.match(text, at)
        if sequence:
            kept, at = kept + sequence.group(), sequence.end()
            continue
        step = _cells(text[at])
        if taken + step > cells - 1:
            break
        kept, taken, at = kept + text[at], taken + step, at + 1
    return kept + "…" + ("\x1b[0m" if styled else "") + " " * (cells - 1 - taken)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
