"""What a run may do before it is watched, told in numbers at its launch; and how often launches and exports may follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_tui.protocol.errors import UsageError
from backprop_tui.store import rate

if TYPE_CHECKING:
    from backprop_tui.protocol.parts.safety import SafetyPart
    from backprop_tui.protocol.spec import RunSpec


def resolved_limits(part: SafetyPart) -> SafetyPart:
    """The limits of a run in numbers: its own, and the person's settings where it has none.

    Raises:
        UsageError: SAFETY_ORDER, the pause would come after the stop; what is wrong with the settings.
    """
    from backprop_tui.config.settings import load_settings

    settings = load_settings()
    unset = {name: getattr(settings, name) for name, value in part if value is None}
    whole = part.model_copy(update=unset)
    pause, stop = whole.pause_celsius or 0.0, whole.stop_celsius or 0.0
    if pause and stop and pause >= stop:
        raise UsageError(
            "SAFETY_ORDER",
            f"A run that pauses at {pause:g} °C and stops at {stop:g} °C would never pause.",
            "Set pause_celsius below stop_celsius; 0 turns either off.",
            {"pause_celsius": pause, "stop_celsius": stop},
        )
    return whole


def unattended(spec: RunSpec) -> RunSpec:
    """A run that nobody follows on a screen, or that others wait for: it ends where it would wait for a person for ever.

    Only `auto` is decided here; what somebody chose stands.
    """
    if spec.recovery.nan_action != "auto":
        return spec
    return spec.model_copy(update={"recovery": spec.recovery.model_copy(update={"nan_action": "stop"})})


def admit_start(*, count: bool) -> None:
    """Refuse a start where there were too many within a minute.

    Args:
        count: whether this one begins now and is counted; else it is only asked whether it might.

    Raises:
        TryAgainError: RATE_LIMITED, saying when it may begin.
    """
    from backprop_tui.config.settings import load_settings

    rate.admit("start", load_settings().start_limit, count=count)


def admit_export() -> None:
    """Count an export of a result, and refuse it where there were too many within a minute.

    Raises:
        TryAgainError: RATE_LIMITED, saying when it may begin.
    """
    from backprop_tui.config.settings import load_settings

    rate.admit("export", load_settings().export_limit)
