"""Tune: a preset, what differs from it, what can be said before the start, and the launch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content

from backprop_tui.app.actions import bindings
from backprop_tui.app.clipboard import copy_out
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import tune as keys
from backprop_tui.app.screens import tune_ask as ask
from backprop_tui.app.screens.tune_panels import TunePanels
from backprop_tui.app.screens.tune_plan import verdict
from backprop_tui.app.screens.tune_rewards import confirm_rewards
from backprop_tui.app.screens.tune_words import find_words, launch_body
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.form import Form
from backprop_tui.app.widgets.modal import ConfirmModal
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.store.layout import RunDir


class TuneScreen(TunePanels):
    """The panels, and what keys change in them."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._launching = False
        self._question: ConfirmModal | None = None

    @on(LiveTable.Highlighted, "#presets")
    def _preset_moved(self) -> None:
        # The row under the cursor now: the message may be older than the last key.
        row = self.presets.current
        if not self._ready or row is None or row.key == self.draft.preset:
            return
        try:
            self.draft.use_preset(row.key)
        except BackpropError as error:
            self._mark_preset()
            self.complain(error)
            return
        self.refresh_all()

    @on(LiveTable.Chosen, "#presets")
    def _preset_chosen(self) -> None:
        self.show_panel(self.query_one("#settings-panel", Panel))

    @on(Form.Moved)
    def _field_moved(self) -> None:
        self._problem = ""
        self._show_help()

    @on(Form.Nudged)
    def _nudged(self, message: Form.Nudged) -> None:
        key = message.field.key
        if key == "base":
            self.action_model()
            return
        try:
            self.draft.adjust(key, message.direction)
        except BackpropError as error:
            self._problem = f"{error.cause} {error.next_step}"
            self._show_help()
            return
        self._problem = ""
        self.refresh_all()

    @on(Form.Asked)
    def _asked(self, message: Form.Asked) -> None:
        field = message.field
        if field is None:
            self.action_advanced()
            return
        setting = self._setting_here()
        if setting is None:
            return
        if setting.key == "base":
            self.action_model()
        elif setting.kind == "bool":
            self._nudged(Form.Nudged(field, 1))
        elif setting.kind == "choice":
            now = str(setting.get(self.draft.spec()))
            ask.ask_choice(self, setting, now, lambda choice: self._set(setting.key, choice))
        else:
            self.form.edit(field)

    @on(Form.Entered)
    def _entered(self, message: Form.Entered) -> None:
        try:
            self.draft.set(message.field.key, message.text)
        except BackpropError as error:
            self._problem = f"{error.cause} {error.next_step}"
            self._show_help()
            return
        self._problem = ""
        message.form.close_edit()
        self.refresh_all()

    @on(Form.Dropped)
    def _dropped(self) -> None:
        self._problem = ""
        self._show_help()

    def _set(self, key: str, value: str) -> None:
        try:
            self.draft.set(key, value)
        except BackpropError as error:
            self.complain(error)
        self.refresh_all()

    def action_model(self) -> None:
        """Pick the base model."""
        ask.ask_model(self, self.draft.model, lambda base: self._set("base", base))

    def action_undo(self) -> None:
        """Take the last change back."""
        if self.draft.undo():
            self._problem = ""
            self.refresh_all()
        else:
            self.backprop.say("There is nothing to undo.")

    def action_reset(self) -> None:
        """Drop every change."""
        if self.draft.overrides:
            self.draft.reset()
            self.refresh_all()
            self.backprop.say("Back to the preset.  u brings the changes back.")
        else:
            self.backprop.say("Nothing differs from the preset.")

    def action_advanced(self) -> None:
        """Show or hide the rarely needed settings."""
        self._advanced = not self._advanced
        self.refresh_all()

    def action_find(self) -> None:
        """Jump to a setting by typing."""
        self.query_one("#tune-find", FindBar).open(self.form.lines)

    @on(FindBar.Changed, "#tune-find")
    def _find(self, message: FindBar.Changed) -> None:
        bar = self.query_one("#tune-find", FindBar)
        if not message.text:
            return
        from backprop_tui.protocol.effects import without_effect

        setting = find_words(message.text)
        if setting is not None:
            if setting.advanced and not self._advanced:
                # Half a word may mean many things; the long list opens for what was meant in the end.
                if not message.done:
                    return
                self._advanced = True
                self.refresh_all()
            if not self.form.go_to(setting.key) and message.done and self._spec is not None:
                self.backprop.say(f"{setting.title} counts only where {without_effect(setting, self._spec)}.", "warn")
        elif message.done:
            self.backprop.say(f"No setting is called {message.text}.", "warn")
        if message.done:
            bar.clear()

    def action_copy(self) -> None:
        """Copy the settings as TOML."""
        try:
            text = self.draft.to_toml()
        except BackpropError as error:
            self.complain(error)
            return

        def work(cancelled: Cancelled) -> str:
            return copy_out(self.app, text, "copied-settings.toml")

        in_thread(self, work, self.backprop.say, self.complain, group="tune-copy")

    def action_save(self) -> None:
        """Ask for a name and save."""

        def named(name: str) -> None:
            try:
                file = self.draft.save_preset(name)
            except BackpropError as error:
                self.complain(error)
                return
            self.backprop.say(f"Saved {file}.", "good")
            self._load()

        ask.ask_preset_name(self, named)

    def action_launch(self) -> None:
        """Show what will be started; start it when confirmed."""
        if self._launching:
            self.backprop.say("The run is being started.")
            return
        try:
            spec = self.draft.spec()
        except BackpropError as error:
            ask.say_refused(self, error)
            return
        go = partial(confirm_rewards, self, spec, lambda: self._start(spec), partial(ask.say_refused, self))
        self._question = ask.ask_launch(self, self._launch_body(spec), go)

    def _launch_body(self, spec: RunSpec) -> Content:
        prospect = self._prospect
        words, role = verdict(prospect, spec)
        problem = words if role == "bad" else ""
        return launch_body(spec, self.draft, prospect.estimate(spec), prospect.plan(spec), problem)

    def on_screen_resume(self) -> None:
        """The question has been answered."""
        self._question = None

    def _show_prospect(self) -> None:
        super()._show_prospect()
        if self._question is not None and self._spec is not None:
            self._question.show(self._launch_body(self._spec))

    def action_queue(self) -> None:
        """Put the run into the queue."""
        try:
            spec = self.draft.spec()
        except BackpropError as error:
            ask.say_refused(self, error)
            return
        refused = partial(ask.say_refused, self)
        self.backprop.say(f"Checking {spec.title} for the queue.")
        confirm_rewards(self, spec, lambda: ask.enqueue(self, spec, refused), refused)

    def _start(self, spec: RunSpec) -> None:
        def started(run: RunDir) -> None:
            self._launching = False
            self.backprop.open_run(run)

        def refused(error: BackpropError) -> None:
            self._launching = False
            ask.say_refused(self, error)

        self._launching = True
        self.backprop.say(f"Starting {spec.title}.")
        ask.start(self, spec, started, refused)
