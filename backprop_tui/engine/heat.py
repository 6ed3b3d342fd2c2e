"""When a run pauses for heat, goes on, or gives up: a state machine fed with temperatures. Pure; no sensors, no clock.

A threshold counts once several readings in a row agree, so a spike does nothing. A sensor that is silent is unknown: it
neither pauses a run nor lets a paused one go on. A card's own limits, where NVML tells them, count where they are lower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backprop_tui.protocol.limits import Limits
from backprop_tui.protocol.states import RunState

#: Degrees below the warning at which a card counts as well again.
_WELL_BELOW = 5.0
#: Seconds without a pause for heat after which they count anew.
_FORGIVEN = 3600.0


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU of the run, in degrees Celsius; None is unknown, and `why` says so in words."""

    index: int
    celsius: float | None
    slowdown: float | None = None
    shutdown: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something to do. `words` is a sentence; `code`, `severity` and `following` are those of an alert."""

    verb: Literal["alert", "log", "pause", "resume", "stop"]
    words: str
    code: str = ""
    severity: Literal["warn", "error"] = "warn"
    following: str = ""


@dataclass(slots=True)
class _Streaks:
    """Readings in a row of one card at or above, or below, each threshold."""

    warm: int = 0
    hot: int = 0
    burning: int = 0
    cool: int = 0
    silent: int = 0
    told_warm: bool = False
    told_silent: bool = False


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where one card is warm, hot and too hot, and below what it has cooled; None is never."""

    warn: float | None
    pause: float | None
    stop: float | None
    cool: float | None


def thresholds(limits: Limits, card: Card) -> Thresholds:
    """The limits of a run for one card: the slowdown temperature caps the pause, the shutdown temperature the stop."""
    pause = _lower(limits.pause_celsius, card.slowdown)
    stop = _lower(limits.stop_celsius, card.shutdown)
    if pause is not None and stop is not None:
        stop = max(stop, pause + 1)
    warn = limits.warn_celsius or None
    if warn is not None and pause is not None:
        warn = min(warn, pause)
    return Thresholds(warn, pause, stop, None if pause is None else pause - limits.cool_celsius)


@dataclass(slots=True)
class Heat:
    """The policy of one run; feed it with `take`.

    Attributes:
        limits: of the run.
        holding: whether the run is paused because of this policy.
    """

    limits: Limits
    holding: bool = False
    _asked: bool = False
    _going_on: bool = False
    _paused: bool = False
    _persons: bool = False
    _since: float = 0.0
    _pauses: list[float] = field(default_factory=list)
    _streaks: dict[int, _Streaks] = field(default_factory=dict)
    _over: bool = False

    def take(self, cards: Sequence[Card], now: float, state: RunState) -> list[Deed]:
        """What follows from one reading.

        Args:
            cards: the run's GPUs, unknown temperatures included.
            now: a clock in seconds that never goes back.
            state: the run's.
        """
        if self._over or state not in (RunState.STARTING, RunState.RUNNING, RunState.PAUSED):
            return []
        self.follow(state, now)
        deeds: list[Deed] = []
        for card in cards:
            deeds += self._count(card)
        if state is RunState.PAUSED:
            return deeds + (self._while_held(cards, now) if self.holding else [])
        return deeds if self._asked else deeds + self._while_running(cards, now)

    def begin(self) -> None:
        """A new worker starts; what the last one was asked for went with it."""
        self._asked = self._going_on = self._paused = self._persons = self.holding = False

    def person_pauses(self) -> None:
        """A person asked for a pause: it is theirs to end, also where the policy has just asked for one itself."""
        self._persons = True

    def follow(self, state: RunState, now: float) -> None:
        """Hear of the run's state; a person may end a pause between two readings."""
        if state is RunState.PAUSED:
            self._paused = True
            if self._asked:
                self._asked, self.holding, self._since = False, not self._persons, now
                for streaks in self._streaks.values():
                    streaks.cool = 0
        elif self._paused:
            self._paused = self._persons = False
            if self.holding:
                self.holding = self._going_on = False
                for streaks in self._streaks.values():
                    streaks.hot = 0

    def _count(self, card: Card) -> list[Deed]:
        streaks = self._streaks.setdefault(card.index, _Streaks())
        at = thresholds(self.limits, card)
        enough = int(self.limits.heat_readings)
        if card.celsius is None:
            streaks.warm = streaks.hot = streaks.burning = streaks.cool = 0
            streaks.silent += 1
            if streaks.silent < enough or streaks.told_silent or (at.warn, at.pause, at.stop) == (None, None, None):
                return []
            streaks.told_silent = True
            why = f" ({card.why})" if card.why else ""
            cause = f"The temperature of GPU {card.index} can't be read{why}: nothing is done about its heat."
            return [Deed("alert", cause, "HEAT_UNKNOWN", "warn", "Look after the machine's cooling yourself.")]
        streaks.silent, streaks.told_silent = 0, False
        streaks.warm = streaks.warm + 1 if _reached(card.celsius, at.warn) else 0
        streaks.hot = streaks.hot + 1 if _reached(card.celsius, at.pause) else 0
        streaks.burning = streaks.burning + 1 if _reached(card.celsius, at.stop) else 0
        streaks.cool = streaks.cool + 1 if at.cool is None or card.celsius <= at.cool else 0
        if at.warn is not None and card.celsius <= at.warn - _WELL_BELOW:
            streaks.told_warm = False
        if streaks.warm < enough or streaks.told_warm:
            return []
        streaks.told_warm = True
        then = "" if at.pause is None else f" At {at.pause:g} °C the run pauses."
        return [
            Deed(
                "alert",
                f"GPU {card.index} is at {card.celsius:g} °C.{then}",
                "GPU_WARM",
                "warn",
                "Look at its cooling.",
            )
        ]

    def _while_running(self, cards: Sequence[Card], now: float) -> list[Deed]:
        enough = int(self.limits.heat_readings)
        if (card := self._first(cards, lambda streaks: streaks.burning >= enough)) is not None:
            return self._give_up(f"GPU {card.index} is at {card.celsius:g} °C.")
        card = self._first(cards, lambda streaks: streaks.hot >= enough)
        if card is None:
            return []
        if self._pauses and now - self._pauses[-1] > _FORGIVEN:
            self._pauses.clear()
        if len(self._pauses) >= int(self.limits.heat_tries):
            return self._give_up(
                f"GPU {card.index} is at {card.celsius:g} °C, and pausing {len(self._pauses)} times did not help."
            )
        self._pauses.append(now)
        self._asked = True
        at = thresholds(self.limits, card)
        words = f"GPU {card.index} is at {card.celsius:g} °C; goes on by itself at {at.cool:g} °C."
        return [
            Deed("alert", words, "GPU_HOT", "error", "Wait, or press p to go on at once."),
            Deed("pause", words),
        ]

    def _while_held(self, cards: Sequence[Card], now: float) -> list[Deed]:
        enough = int(self.limits.heat_readings)
        if (card := self._first(cards, lambda streaks: streaks.burning >= enough)) is not None:
            return self._give_up(f"GPU {card.index} is at {card.celsius:g} °C although the run is paused.")
        if self._going_on:
            return []
        if cards and all(self._streaks[card.index].cool >= enough for card in cards):
            self._going_on = True
            hottest = max(card.celsius for card in cards if card.celsius is not None)
            return [Deed("log", f"Cooled to {hottest:g} °C: training goes on."), Deed("resume", "Cooled.")]
        waited = now - self._since
        if waited > self.limits.cool_s:
            unknown = " Its temperature can't be read." if any(card.celsius is None for card in cards) else ""
            return self._give_up(f"Paused for heat for {waited / 60:.0f} min without cooling enough.{unknown}")
        return []

    def _first(self, cards: Sequence[Card], wanted: Callable[[_Streaks], bool]) -> Card | None:
        return next((card for card in cards if wanted(self._streaks[card.index])), None)

    def _give_up(self, cause: str) -> list[Deed]:
        self._over = True
        words = f"{cause} The run is saved and stopped."
        return [
            Deed("alert", words, "HEAT_STOP", "error", "Mend the cooling, then resume the run."),
            Deed("stop", words),
        ]


def _reached(celsius: float, threshold: float | None) -> bool:
    return threshold is not None and celsius >= threshold


def _lower(limit: float, own: float | None) -> float | None:
    if limit <= 0:
        return None
    return min(limit, own) if own is not None and own > 0 else limit
