"""Tune: a preset, what differs from it, what can be said before the start, and the launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.clipboard import copy_out
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.draft import Draft, Usual, read_usual
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import tune as keys
from backprop_tui.app.prospect import Prospect
from backprop_tui.app.screens import tune_ask as ask
from backprop_tui.app.screens.room import Room
from backprop_tui.app.screens.tune_plan import check_lines, estimate_lines, verdict
from backprop_tui.app.screens.tune_rewards import confirm_rewards
from backprop_tui.app.screens.tune_words import (
    changes_lines,
    find_words,
    form_fields,
    help_line,
    launch_body,
    preset_rows,
)
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.form import Form
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.presets import PresetTable
from backprop_tui.app.widgets.sheet import Sheet
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.config.advice import Sizes, advise, cautions
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.config.presets import Preset
    from backprop_tui.protocol.fields import Setting
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.store.layout import RunDir


class TuneScreen(Room):
    """Presets left, settings in the middle, estimate, checks and changes right; stacked where it is narrower."""

    ROOM = "tune"
    OPENS = "settings-panel"
    CSS_PATH = "tune.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._presets: Mapping[str, Preset] = {}
        self._advanced = False
        self._problem = ""
        self._spec: RunSpec | None = None
        self._ready = False
        self._field_left = ""
        self._launching = False
        self._advice: Mapping[str, str] = {}
        self._cautions: Sequence[str] = ()

    def compose_body(self) -> ComposeResult:
        """Three columns, or a stack, and the help line."""
        with Container(id="tune"):
            yield Panel("preset", PresetTable(id="presets"), Sheet(id="about"), id="preset-panel")
            form = Form(id="form")
            yield Panel("settings", form, FindBar("name of a setting", id="tune-find"), id="settings-panel")
            with Vertical(id="side"):
                yield Panel("before launch", Sheet(id="estimate"), id="estimate-panel")
                yield Panel("checks", Sheet(id="checks"), id="checks-panel")
                yield Panel("changes", Sheet(id="changes"), id="changes-panel")
        yield Sheet(id="help-line")

    @property
    def draft(self) -> Draft:
        """The run being prepared."""
        return self.backprop.draft

    def remember(self) -> dict[str, Any]:
        """The setting under the cursor, and whether the rare ones are shown."""
        field = self.form.lines.current
        return {**super().remember(), "advanced": self._advanced, "field": field.key if field is not None else ""}

    def recall(self, words: Mapping[str, Any]) -> None:
        """Go back to it; fields come once the settings are read."""
        super().recall(words)
        self._advanced = words.get("advanced") is True
        self._field_left = str(words.get("field") or "")
        if self._ready:
            self.refresh_all()
            self.form.go_to(self._field_left)

    @property
    def form(self) -> Form:
        """The settings."""
        return self.query_one("#form", Form)

    @property
    def presets(self) -> PresetTable:
        """The list of presets."""
        return self.query_one("#presets", PresetTable)

    def context(self) -> Line:
        """What will be trained on what."""
        dot = glyphs_of(self).dot
        words = f"{wording.data_name(self.draft.data, 24)} {dot} {wording.model_name(self.draft.model, 24)}   "
        return ((words, "text"),)

    def on_mount(self) -> None:
        """Load presets, settings and pydantic in a thread; then fill the form."""
        self._prospect = Prospect(self, self.draft.scans, self._show_prospect)
        self._load()

    def on_screen_resume(self) -> None:
        """Data may have been picked, and files changed, meanwhile."""
        if self._ready:
            self._prospect.forget()
            self.refresh_all()

    def on_resize(self, event: events.Resize) -> None:
        """Where panels go one by one, the facts can be reached with Tab too."""
        for name in ("estimate", "checks", "changes"):
            self.query_one(f"#{name}", Sheet).can_focus = event.size.width < 80

    def wants(self, panel: Panel) -> bool:
        """In a stack the estimate also says what the checks found, and the form marks what changed."""
        return self.narrow or self.wide or panel.id not in ("checks-panel", "changes-panel")

    def _load(self) -> None:
        in_thread(self, lambda _: read_usual(), self._loaded, self._complain, group="tune-load")

    def _loaded(self, usual: Usual) -> None:
        self._presets = usual.presets
        self.draft.begin(model=usual.model, preset=usual.preset)
        with self.presets.prevent(LiveTable.Highlighted):
            self.presets.update(preset_rows(self._presets))
        self._ready = True
        if usual.problems:
            self.backprop.say(str(usual.problems[0]), "warn")
        self.refresh_all()
        self.form.go_to(self._field_left)

    # -- showing ------------------------------------------------------------------------------------------------------

    def refresh_all(self) -> None:
        """Everything that follows from the draft."""
        try:
            spec, base = self.draft.spec(), self.draft.base()
        except BackpropError as error:
            self._complain(error)
            return
        self._spec = spec
        fields, hidden = form_fields(spec, base, advanced=self._advanced)
        mark = glyphs_of(self).focus
        more = f"{mark} advanced ({hidden})" if hidden else f"{glyphs_of(self).down} fewer settings"
        self.form.show(fields, more)
        self._mark_preset()
        changed = len(self.draft.differences())
        facts = f"{changed} changed {glyphs_of(self).follow}" if changed else "as in the preset"
        self.query_one("#settings-panel", Panel).label(
            facts=((facts, "accent" if changed else "muted"),), foot="u undo  U reset"
        )
        total = len(self._presets)
        self.query_one("#preset-panel", Panel).label(
            facts=safe_text(self.draft.preset, limit=24), foot=f"{total} presets"
        )
        self._show_about()
        self._show_changes()
        self._show_help()
        self.show_context()
        self._prospect.look(spec)
        self._show_prospect()

    def _show_about(self) -> None:
        preset = self._presets.get(self.draft.preset)
        about = [preset.about] if preset else []
        if preset and preset.source:
            about.append(f"From: {preset.source}")
        about += self._cautions

        def build(width: int, height: int) -> Sequence[Line]:
            head: list[Line] = [((f"about {safe_text(self.draft.preset, limit=40)}", "strong"),)]
            for words in about:
                head += [((line, "muted"),) for line in wrap(words, width)]
            return head

        self.query_one("#about", Sheet).show(build)

    def _show_changes(self) -> None:
        differences = self.draft.differences()
        self.query_one("#changes", Sheet).show(lambda width, height: changes_lines(differences, width, height))

    def _show_help(self) -> None:
        setting = self._setting_here()
        problem, field = self._problem, self.form.lines.current
        note = field.note if field is not None else ""
        advice = self._advice.get(setting.key, "") if setting is not None else ""
        self.query_one("#help-line", Sheet).show(
            lambda width, height: [help_line(setting, problem, width, note, advice)]
        )

    def _show_prospect(self) -> None:
        """Estimate and checks, as far as they are known."""
        spec, prospect = self._spec, self._prospect
        if spec is None:
            return
        sizes = prospect.sizes(spec)
        if self._take_advice(spec, sizes):
            self.refresh_all()
            return
        found, ascii_only = prospect.estimate(spec), glyphs_of(self).marks == "ascii"
        plan = prospect.plan(spec)
        words, role = verdict(prospect, spec)
        self.query_one("#estimate", Sheet).show(
            lambda width, height: estimate_lines(spec, found, plan, width, height, (words, role))
        )
        self.query_one("#checks", Sheet).show(lambda width, height: check_lines(prospect, spec, width, ascii_only))
        short = {"good": "ready", "bad": "1 problem"}.get(role, words)
        self.query_one("#checks-panel", Panel).label(facts=((short, role),))
        self.query_one("#estimate-panel", Panel).label(facts=((short, role),) if not self.wide else "")

    def _take_advice(self, spec: RunSpec, sizes: Sizes) -> bool:
        """Say what suits this model and these rows; whether a value that was left to advice changed by it."""
        try:
            if self.draft.learn(sizes):
                return True
        except BackpropError:
            return False
        advice, said = {one.key: one.words for one in advise(spec, sizes)}, cautions(spec, sizes)
        if (advice, said) != (self._advice, self._cautions):
            self._advice, self._cautions = advice, said
            self._show_help()
            self._show_about()
        return False

    def _setting_here(self) -> Setting | None:
        field = self.form.lines.current
        if field is None or not self._ready:
            return None
        from backprop_tui.protocol.fields import find_setting

        return find_setting(field.key)

    def _complain(self, error: BackpropError) -> None:
        self.backprop.say(str(error), "bad")

    # -- changing -----------------------------------------------------------------------------------------------------

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
            self._complain(error)
            return
        self.refresh_all()

    def _mark_preset(self) -> None:
        """Put the cursor on the draft's preset, as a consequence and not as a choice."""
        with self.presets.prevent(LiveTable.Highlighted):
            self.presets.select(self.draft.preset)

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
            self._complain(error)
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
            self._complain(error)
            return

        def work(cancelled: Cancelled) -> str:
            return copy_out(self.app, text, "copied-settings.toml")

        in_thread(self, work, self.backprop.say, self._complain, group="tune-copy")

    def action_save(self) -> None:
        """Ask for a name and save."""

        def named(name: str) -> None:
            try:
                file = self.draft.save_preset(name)
            except BackpropError as error:
                self._complain(error)
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
        prospect = self._prospect
        words, role = verdict(prospect, spec)
        problem = words if role == "bad" else ""
        body = launch_body(spec, self.draft, prospect.estimate(spec), prospect.plan(spec), problem)
        go = partial(confirm_rewards, self, spec, lambda: self._start(spec), partial(ask.say_refused, self))
        ask.ask_launch(self, body, go)

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
