"""Numbers as people read them: separators, SI suffixes, four digits of loss, `–` for what is unknown."""

from __future__ import annotations

import math
import os
import re
import time

from backprop_tui.protocol.text import safe_text

UNKNOWN = "–"

_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)x\s+(\S.*)", re.DOTALL)


def count(value: int | None) -> str:
    """`51,760`."""
    return UNKNOWN if value is None else f"{value:,}"


def short_count(value: float | None) -> str:
    """`7.2 M`, `950`."""
    if value is None:
        return UNKNOWN
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if suffix == "k" else size)
            return f"{scaled:.1f} {suffix}" if scaled < 100 else f"{scaled:.0f} {suffix}"
    return f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes as `1.3 GB`, `412 kB`."""
    if value is None:
        return UNKNOWN
    for step, suffix in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= step:
            scaled = value / step
            return f"{scaled:.1f} {suffix}" if scaled < 100 else f"{scaled:.0f} {suffix}"
    return f"{value:.0f} B"


def epochs(value: object) -> str:
    """How many passes there will be: `3`, `2.67`; nothing where it is not known."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    return f"{value:.0f}" if value == round(value) else f"{value:.2f}"


def loss(value: float | None) -> str:
    """Four significant digits; `NaN` says so."""
    if value is None:
        return UNKNOWN
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def age(seconds: float | None) -> str:
    """`now`, `5 min`, `3 h`, `2 d`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} d"


def percent(share: float | None) -> str:
    """`0.4 %`, `98 %`."""
    if share is None:
        return UNKNOWN
    value = share * 100
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def significant(value: float | None, digits: int = 3) -> str:
    """`0.913`, `1.84e-4`, `12.4`: as many digits as tell something; `NaN` says so."""
    if value is None:
        return UNKNOWN
    if not math.isfinite(value):
        return loss(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """`8 s`, `37m`, `2h05`, `3d 4h`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m" if whole >= 600 else f"{whole // 60}m{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def clock(wall: float | None, seconds: bool = False) -> str:
    """Local time of day of an instant, `16:42` or `16:42:07`."""
    if wall is None:
        return UNKNOWN
    try:
        return time.strftime("%H:%M:%S" if seconds else "%H:%M", time.localtime(wall))
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def is_mix(words: str) -> bool:
    """Whether words name several datasets, or one with a weight. What exists on the disk is a name and nothing else."""
    if os.path.lexists(words):
        return False
    return " + " in words or _WEIGHT.fullmatch(words) is not None


def data_name(words: str, limit: int = 60) -> str:
    """A dataset as a short name: the last part of each path, weights kept."""
    if not is_mix(words):
        name = os.path.basename(words.rstrip("/")) or words
        return "demo data" if words == "demo" else safe_text(name, limit=limit)
    parts = []
    for part in words.split(" + "):
        weighed = _WEIGHT.fullmatch(part)
        name = data_name(weighed[2] if weighed else part, limit)
        parts.append(f"{weighed[1]}x {name}" if weighed else name)
    return safe_text(" + ".join(parts), limit=limit)


def model_name(base: str, limit: int = 60) -> str:
    """A model as a short name: a hub id whole, a folder by its last part."""
    if base == "demo":
        return "demo model"
    hub_id = base.count("/") == 1 and not base.startswith("/")
    return safe_text(base if hub_id else os.path.basename(base.rstrip("/")) or base, limit=limit)


def rows(number: int) -> str:
    """`1 row`, `1,204 rows`."""
    return "1 row" if number == 1 else f"{number:,} rows"
