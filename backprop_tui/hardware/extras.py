"""Optional parts of the installation: which packages each extra brings, and whether they are there. Imports none of them."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from backprop_tui.protocol.errors import UnavailableError

#: Package and lowest version per extra; `pyproject.toml` says the same, and a test compares the two.
FLOORS: dict[str, dict[str, str]] = {
    "train": {
        "torch": "2.10",
        "transformers": "5.3",
        "trl": "1.10",
        "peft": "0.19",
        "datasets": "4.5",
        "accelerate": "1.12",
        "bitsandbytes": "0.49",
    },
    "serve": {"aiohttp": "3.14", "textual-serve": "1.1.3"},
    "sweep": {"optuna": "4"},
    "deepspeed": {"deepspeed": "0.19"},
}
#: What an extra is for, to say what does not go without it; and names that differ once imported.
_PURPOSES = {"train": "Training", "serve": "Serving the app", "sweep": "A search with Optuna", "deepspeed": "ZeRO"}
_MODULES = {"textual-serve": "textual_serve"}
#: Needed by some settings only: its absence is told when such a setting is used.
_OPTIONAL = frozenset({"bitsandbytes"})


def missing(extra: str) -> list[str]:
    """Packages of an extra that are not installed."""
    return [name for name in FLOORS[extra] if name not in _OPTIONAL and not _installed(name)]


def require(extra: str) -> None:
    """Check that an extra is installed, before any work.

    Raises:
        UnavailableError: it is not; the next step is the pip command.
    """
    absent = missing(extra)
    if absent:
        raise UnavailableError(
            "EXTRA_MISSING",
            f"{_PURPOSES[extra]} needs {', '.join(absent)}, not installed for {sys.executable}.",
            f"Run `pip install 'backprop-tui[{extra}]'`.",
            {"extra": extra, "missing": absent},
        )


def installed_version(name: str) -> str | None:
    """The version of an installed package, None without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def below(found: str, floor: str) -> bool:
    """Whether version `found` is lower than `floor`, comparing the leading numbers only."""
    return _numbers(found) < _numbers(floor)


def _installed(name: str) -> bool:
    try:
        return find_spec(_MODULES.get(name, name)) is not None
    except (ImportError, ValueError):
        return False


def _numbers(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
