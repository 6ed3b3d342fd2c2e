"""Readings as pieces: with their unit, their colour, and while a sensor is silent its last value and how old that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets.painted import Piece
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.telemetry import THROTTLES, TROUBLE, is_hot, last_known, throttles, why_unknown
from backprop_tui.protocol.text import safe_text

Part = Mapping[str, Any]
#: Degrees Celsius from which a temperature is worth a colour, and below which it is not worth reading.
WARM, COOL = 80.0, 70.0


def percent(value: float | None) -> str:
    """` 97 %`, four or five cells."""
    return f"{wording.UNKNOWN:>3} %" if value is None else f"{value:3.0f} %"


def share(part: float | None, whole: float | None) -> float | None:
    """A part of a whole, 0 to 1; None when either is unknown."""
    return part / whole if part is not None and whole else None


def of(used: float | None, total: float | None) -> str:
    """`61/80 GB`, in the unit of the whole."""
    if used is None or total is None:
        return wording.UNKNOWN if used is None else wording.size(used)
    unit, suffix = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    digits = 0 if total / unit >= 20 else 1
    return f"{used / unit:.{digits}f}/{total / unit:.{digits}f} {suffix}"


def rate(value: float | None) -> str:
    """Bytes per second."""
    return wording.UNKNOWN if value is None else f"{wording.size(value)}/s"


def short_age(seconds: float) -> str:
    """`14s`, `3m`."""
    return f"{seconds:.0f}s" if seconds < 100 else f"{seconds / 60:.0f}m"


def heat(gpu: Part, now: float | None, glyphs: Glyphs, *, words: bool = True) -> Piece:
    """The temperature; HOT where the card itself slows down or would. `words` leaves a `!` instead when there is no room."""
    degrees = number(gpu.get("temperature"))
    if degrees is None:
        past = last_known(gpu, "temperature", now)
        if past is None or not words:
            return f"{wording.UNKNOWN}{glyphs.degree}", "muted"
        return f"{past[0]:.0f}{glyphs.degree} {short_age(past[1])} ago", "muted"
    text = f"{degrees:.0f}{glyphs.degree}"
    if is_hot(gpu):
        return f"{text} HOT" if words else f"{text}!", "bad"
    if degrees >= WARM:
        return f"{text} warm" if words else text, "warn"
    return text, "muted" if degrees < COOL else "text"


def watts(gpu: Part, now: float | None, *, limit: bool = True) -> Piece:
    """Power, and of how much."""
    power, most = number(gpu.get("power")), number(gpu.get("power_limit"))
    if power is None:
        past = last_known(gpu, "power", now)
        if past is None or not limit:
            return f"{wording.UNKNOWN} W", "muted"
        return f"{past[0]:.0f} W {short_age(past[1])} ago", "muted"
    return (f"{power:.0f} W" if most is None or not limit else f"{power:.0f}/{most:.0f} W"), "text"


def held_down(gpu: Part) -> Piece:
    """What holds the clocks down, "" when nothing does."""
    reasons = throttles(gpu)
    bad = bool(TROUBLE & set(reasons))
    return ", ".join(THROTTLES[key] for key in reasons), "bad" if bad else "muted"


def gpu_name(gpu: Part) -> str:
    """The model, harmless, without the maker's name."""
    return safe_text(gpu.get("name") or "", limit=60).removeprefix("NVIDIA ")


def with_age(part: Part, key: str, now: float | None, text: str) -> Piece:
    """A value's text; where it is unknown its last value's age or the reason why, as `–  reason`."""
    if part.get(key) is not None:
        return text, "text"
    past = last_known(part, key, now)
    why = safe_text(why_unknown(part, key), limit=90)
    if past is not None:
        return (
            f"{wording.UNKNOWN}  {wording.significant(past[0])} {short_age(past[1])} ago{f', {why}' if why else ''}",
            "muted",
        )
    return f"{wording.UNKNOWN}{f'  {why}' if why else ''}", "muted"


def trouble(telemetry: Part, now: float | None) -> Piece | None:
    """The one thing about the machine that can't wait: stale readings, a lost card, heat."""
    wall = number(telemetry.get("wall"))
    if wall is not None and now is not None and now - wall > 15:
        return f"readings are {short_age(now - wall)} old", "warn"
    gpus = [gpu for gpu in telemetry.get("gpus") or [] if isinstance(gpu, dict)]
    silent = [gpu for gpu in gpus if gpu.get("temperature") is None and (gpu.get("unknown") or {}).get("")]
    if silent:
        why = safe_text(silent[0]["unknown"][""], limit=80).partition(" (")[0]
        names = "all GPUs" if len(silent) == len(gpus) > 1 else f"GPU{silent[0].get('index')}"
        return f"{names}: {why}", "bad"
    for gpu in gpus:
        reasons = [key for key in throttles(gpu) if key in TROUBLE]
        if reasons:
            return f"GPU{gpu.get('index')} slowed: {THROTTLES[reasons[0]]}", "bad"
    broken = [gpu for gpu in gpus if (number(gpu.get("ecc_uncorrected")) or 0) > 0]
    if broken:
        return f"GPU{broken[0].get('index')}: {broken[0]['ecc_uncorrected']:,} uncorrected memory errors", "bad"
    return None


def missing_words(gpus: list[dict[str, Any]]) -> str:
    """Why a sensor people look for shows nothing, "" when all speak."""
    for gpu in gpus:
        if (gpu.get("unknown") or {}).get(""):
            continue
        for key, word in (("temperature", "°C"), ("utilisation", "util"), ("power", "W"), ("memory_used", "mem")):
            why = why_unknown(gpu, key)
            if gpu.get(key) is None and why:
                return f"{word} {wording.UNKNOWN}: {safe_text(why, limit=60)}"
    return ""
