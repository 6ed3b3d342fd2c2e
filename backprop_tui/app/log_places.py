"""What a person may type to go somewhere in the log: `50%`, `1200` or `step 1200`, `18:47`, `#300`."""

from __future__ import annotations

import re
import time
from typing import Literal, NamedTuple

Kind = Literal["percent", "step", "line", "time"]
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")
_STEP = re.compile(r"(?:s(?:tep)?\s*)?([\d,_]{1,18})", re.IGNORECASE)
_LINE = re.compile(r"(?:#|l(?:ine)?\s*)([\d,_]{1,18})", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d)[ T])?(\d{1,2}):(\d\d)(?::(\d\d))?")


class Spot(NamedTuple):
    """Where to go: a share in percent, a step, a line counted from 1, or seconds since the Unix epoch."""

    kind: Kind
    value: float


def read_spot(text: str, around: float | None) -> Spot | None:
    """Read it; None when it is none of these. `around` is an instant whose day is meant by a time of day alone."""
    text = text.strip()
    if found := _PERCENT.fullmatch(text):
        return Spot("percent", min(100.0, float(found.group(1))))
    if found := _LINE.fullmatch(text):
        return _counted("line", found.group(1))
    if found := _STEP.fullmatch(text):
        return _counted("step", found.group(1))
    if found := _TIME.fullmatch(text):
        year, month, day, hour, minute, second = (None if part is None else int(part) for part in found.groups())
        assert hour is not None
        assert minute is not None
        try:
            today = time.localtime(around if around is not None else time.time())
            date = (year, month, day) if year is not None else (today.tm_year, today.tm_mon, today.tm_mday)
            if hour > 23 or minute > 59 or (second or 0) > 59:
                return None
            stamp = f"{date[0]}-{date[1]}-{date[2]} {hour}:{minute}:{second or 0}"
            return Spot("time", time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S")))
        except (OverflowError, ValueError, OSError):
            return None
    return None


def spot_problem(text: str) -> str | None:
    """A sentence when it is not a place."""
    if read_spot(text, None) is None:
        return "Type a step such as 1200, a share such as 50%, a time such as 18:47, or a line such as #300."
    return None


def _counted(kind: Kind, digits: str) -> Spot | None:
    digits = digits.replace(",", "").replace("_", "")
    return Spot(kind, float(int(digits))) if digits else None
