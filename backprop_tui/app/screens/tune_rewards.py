"""A reward file is shown whole and confirmed before a run executes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import events
from textual.containers import VerticalScroll
from textual.content import Content

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_block, safe_text

if TYPE_CHECKING:
    from backprop_tui.launch.rewards import RewardFile
    from backprop_tui.protocol.spec import RunSpec


class RewardModal(ConfirmModal):
    """The whole file, with its hash; PageUp and PageDown scroll it, and nothing is chosen at first but to go back.

    Args:
        path: of the file. text: all of it, still foreign. sha256: of its bytes.
    """

    def __init__(self, path: object, text: str, sha256: str) -> None:
        lines = safe_block(text, limit=len(text)).split("\n")
        width = len(str(len(lines)))
        listing = "\n".join(f"{number:>{width}} │ {line}" for number, line in enumerate(lines, start=1))
        super().__init__(
            Content("Run this reward file?"),
            Content(
                f"{safe_text(path)}\nsha256 {sha256}\n{len(lines):,} lines; PageUp and PageDown scroll. "
                f"The run executes them as you.\n\n{listing}"
            ),
            [Choice("trust", "I have read it: run it", danger=True)],
            cancel="Back to the settings",
        )

    def on_key(self, event: events.Key) -> None:
        """Paging moves the file and not the answers."""
        if event.key in ("pageup", "pagedown"):
            event.stop()
            event.prevent_default()
            body = self.query_one("#body-scroll", VerticalScroll)
            (body.scroll_page_up if event.key == "pageup" else body.scroll_page_down)(animate=False)


def confirm_rewards(
    room: Room, spec: RunSpec, go: Callable[[], None], refused: Callable[[BackpropError], object]
) -> None:
    """Go on once the run's reward file, where it has one, is confirmed; leaving the dialog starts nothing.

    Args:
        room: the screen that asks.
        spec: the run.
        go: called when there is nothing left to confirm.
        refused: told what is wrong with the file.
    """

    def confirm(file: RewardFile) -> None:
        from backprop_tui.launch.rewards import remember

        remember(file)

    def look(cancelled: Cancelled) -> RewardFile | None:
        from backprop_tui.launch.rewards import unconfirmed

        return unconfirmed(spec)

    def found(file: RewardFile | None) -> None:
        if file is None:
            go()
            return

        def answered(answer: str | None) -> None:
            if answer == "trust":
                in_thread(room, lambda _: confirm(file), lambda _: go(), refused, group="tune-rewards")

        room.app.push_screen(RewardModal(file.path, file.text, file.sha256), answered)

    if spec.task.objective != "grpo":
        go()
        return
    in_thread(room, look, found, refused, group="tune-rewards")
