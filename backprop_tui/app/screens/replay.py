"""A past run played again on the Run screen. It is open to look at only: commands are refused, the run is not touched."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.content import Content

from backprop_tui.app.actions import Action, bindings
from backprop_tui.app.keymap import replay as keys
from backprop_tui.app.replay import Player, read_share
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.run import RunScreen
from backprop_tui.app.widgets.painted import Line
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir

_REFUSED = "This is a replay: nothing is sent to the run. Esc leaves it."


class ReplayScreen(RunScreen):
    """One run, played again.

    Args:
        run: which. speed: seconds of the run per second.
    """

    kept = False
    OVER = True
    BINDINGS: ClassVar[list[BindingType]] = bindings(keys.ACTIONS)

    def __init__(self, run: RunDir, speed: float) -> None:
        super().__init__()
        self._run = run
        self.player = Player(run, speed)

    def context(self) -> Line:
        """That it is a replay, how fast and how far."""
        player = self.player
        name = self.model.name if self.model is not None else ""
        how = "held" if player.paused else "over" if player.over else f"{player.speed:g}x"
        return (
            (f"{name or (self._run.short_id if self._run else '')}   ", "text"),
            (f"REPLAY {how} {100 * player.share:.0f}%   ", "warn"),
        )

    def refusal(self) -> str:
        """Why no command is sent."""
        return _REFUSED

    def offers(self, action: Action) -> bool:
        """Commands to a run have no place here."""
        return action.scope != "run" or action.id in ("run.metric", "run.samples", "run.zoom", "run.alerts")

    def tell(self, model: RunModel) -> None:
        """What is played again is no news."""
        self.show_context()

    def show_alerts(self, model: RunModel, damaged: int) -> None:
        """The header's count belongs to the run that is open."""
        model.alerts.damage(damaged)
        model.alerts.scan(model.series)

    def show_log(self, model: RunModel, upto: int | None = None) -> None:
        """Lines up to the moment that is played."""
        super().show_log(model, upto=model.view.seq)

    def _start(self, run: RunDir) -> None:
        self.model = RunModel(held=True)
        self._was = None
        self._samples = False
        self.chart_begins(self.model)
        self.settle()
        self.log_begins(run)
        self._play(self.player, self.model)

    @work(exclusive=True, group="run-events", exit_on_error=False)
    async def _play(self, player: Player, model: RunModel) -> None:
        self._show()
        async for batch in player.events():
            model.apply(batch)
            self._schedule()
        model.held = locks.is_held(player.run.lock_file)
        self._log_at = 0.0
        self._show()

    # -- keys ---------------------------------------------------------------------------------------------------------

    def action_play(self) -> None:
        """Hold, go on, or begin again at the end."""
        if self.player.over:
            self._again(0.0)
            return
        self.player.hold(not self.player.paused)
        self.show_context()

    def action_speed(self, factor: float) -> None:
        """Faster or slower."""
        self.player.faster(factor)
        self.show_context()
        self.say(f"{self.player.speed:g} seconds of the run per second.")

    def action_skip(self, percent: float) -> None:
        """On or back by a part of the journal."""
        self._go(self.player.share + percent / 100)

    def action_seek(self) -> None:
        """Ask where to go."""
        from backprop_tui.app.widgets.modal import PromptModal

        def check(text: str) -> str | None:
            return None if read_share(text) is not None else "A number from 0 to 100."

        body = Content("How much of the run has happened, in percent of its events.")
        prompt = PromptModal(Content("go to"), body, placeholder="40", check=check)
        self.app.push_screen(prompt, lambda text: self._go(read_share(text) or 0.0) if text else None)

    def _go(self, share: float) -> None:
        share = min(1.0, max(0.0, share))
        if share >= self.player.share and not self.player.over:
            self.player.skip_to(share)
        else:
            self._again(share)

    def _again(self, share: float) -> None:
        """Build the run anew up to a place: what was folded can't be taken back."""
        before = self.player
        self.player = Player(before.run, before.speed, share)
        self.player.paused = before.paused and not before.over
        self._start(before.run)

    def action_leave_replay(self) -> None:
        """Back to where the person was."""
        self.app.pop_screen()
