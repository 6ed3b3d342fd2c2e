"""Numbers as people read them: separators, SI suffixes, four digits of loss, `–` for what is unknown."""

from __future__ import annotations

import math

UNKNOWN = "–"


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
