"""Where things live. Every place can be moved by an environment variable; nothing is created by asking.

`BACKPROP_DATA_DIR`, `BACKPROP_CONFIG_DIR`, `BACKPROP_CACHE_DIR` and `BACKPROP_RUNTIME_DIR` override the platform's places.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backprop_tui.protocol.errors import UnavailableError

APP = "backprop"
_PACKAGE = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Runs and everything they wrote."""
    return _place("BACKPROP_DATA_DIR", "user_data_path")


def config_dir() -> Path:
    """settings.toml, .env, the person's presets and themes."""
    return _place("BACKPROP_CONFIG_DIR", "user_config_path")


def cache_dir() -> Path:
    """What can be rebuilt: indexes and remembered screens."""
    return _place("BACKPROP_CACHE_DIR", "user_cache_path")


def runs_dir() -> Path:
    """One directory per run."""
    return data_dir() / "runs"


def demo_model_dir() -> Path:
    """The bundled tiny base model."""
    return _PACKAGE / "assets" / "demo" / "model"


def demo_data_file(split: str = "train", kind: str = "") -> Path:
    """The bundled dataset; `split` is train or eval, `kind` empty for chats, `pairs-` or `marked-` for its other forms."""
    return _PACKAGE / "assets" / "demo" / f"{kind}{split}.jsonl"


def themes_dir() -> Path:
    """The themes that ship: inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "themes"
    return inside if inside.is_dir() else _PACKAGE.parent / "themes"


def runtime_dir() -> Path:
    """The private directory of sockets, created 0700 if absent.

    Raises:
        UnavailableError: somebody else owns it, it is a symlink, or others may enter it.
    """
    override = os.environ.get("BACKPROP_RUNTIME_DIR")
    if override:
        place = Path(override)
    else:
        base = os.environ.get("XDG_RUNTIME_DIR")
        place = Path(base) / APP if base and os.path.isdir(base) else cache_dir() / "run"
    return private_dir(place, "RUNTIME_DIR_UNSAFE", "Set BACKPROP_RUNTIME_DIR to a directory of your own.")


def private_dir(place: Path, code: str, next_step: str) -> Path:
    """Create `place` 0700 if absent and check that it is ours alone.

    Raises:
        UnavailableError: it cannot be created, or is a symlink, foreign, or open to others.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.mkdir(mode=0o700, exist_ok=True)
        info = os.lstat(place)
    except OSError as error:
        raise UnavailableError(code, f"{place} can't be created: {error.strerror}.", next_step) from None
    if os.name == "posix":
        if stat.S_ISLNK(info.st_mode) or not stat.S_ISDIR(info.st_mode):
            raise UnavailableError(code, f"{place} is not a real directory.", next_step)
        if info.st_uid != os.getuid():
            raise UnavailableError(code, f"{place} belongs to another user.", next_step)
        if info.st_mode & 0o077:
            raise UnavailableError(code, f"{place} is open to other users.", f"Run `chmod 700 {place}`.")
    return place


def _place(variable: str, function: str) -> Path:
    override = os.environ.get(variable)
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    place: Path = getattr(platformdirs, function)(APP, appauthor=False)
    return place
