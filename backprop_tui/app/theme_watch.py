"""A person's theme files are looked at while the app is used; what changed is seen at once, what is wrong is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.dom import DOMNode
from textual.timer import Timer

from backprop_tui.app import themes
from backprop_tui.app.jobs import in_thread
from backprop_tui.protocol.errors import BackpropError, UsageError

if TYPE_CHECKING:
    from textual.theme import Theme

#: Seconds between two looks while somebody uses the app.
LOOK_S = 2.0
#: Largest theme file that is read, in bytes.
_LARGEST = 200_000

#: What tells one state of a file from another: when it was written, its size, and which file it is.
Stamp = tuple[int, int, int]


def stamps(folder: Path) -> dict[Path, Stamp]:
    """The theme files of a folder and their stamps; an absent folder has none."""
    found: dict[Path, Stamp] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            info = file.stat()
        except OSError:
            continue
        if info.st_size <= _LARGEST:
            found[file] = (info.st_mtime_ns, info.st_size, info.st_ino)
    return found


class ThemeWatch:
    """Looks at the person's themes on focus and every two seconds while the app is used.

    Args:
        node: where threads report to. changed: called with each theme that was read anew. failed: called with what is
            wrong with a file, once per state of the file.
    """

    def __init__(
        self, node: DOMNode, changed: Callable[[Theme], object], failed: Callable[[UsageError], object]
    ) -> None:
        self._node, self._changed, self._failed = node, changed, failed
        self._seen: dict[Path, Stamp] = stamps(themes.own_themes_dir())
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin, or look at once after a pause."""
        if self._timer is None:
            self._timer = self._node.set_interval(LOOK_S, self.look, name="themes")
        else:
            self._timer.resume()
            self.look()

    def pause(self) -> None:
        """Nobody looks at the app."""
        if self._timer is not None:
            self._timer.pause()

    def look(self) -> None:
        """Look in a thread."""
        in_thread(self._node, lambda _: stamps(themes.own_themes_dir()), self._compare, _nothing, group="themes")

    def _compare(self, now: dict[Path, Stamp]) -> None:
        news = [file for file, stamp in now.items() if self._seen.get(file) != stamp]
        self._seen = now
        if news:
            in_thread(self._node, lambda _: [_read(file) for file in news], self._report, _nothing, group="themes-read")

    def _report(self, read: list[Theme | UsageError]) -> None:
        for found in read:
            if isinstance(found, UsageError):
                self._failed(found)
            else:
                self._changed(found)


def _read(file: Path) -> Theme | UsageError:
    try:
        return themes.read_theme(file)
    except UsageError as problem:
        return problem


def _nothing(error: BackpropError) -> None:
    """A folder that can't be looked at has no themes."""
