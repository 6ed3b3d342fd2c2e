"""Tune: a preset, what differs from it, what can be said before the start, and the launch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content

from backprop_tui.app.actions import bindings
from backprop_tui.app.clipboard import copy_out
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.draft import DEMO, Draft, check_preset_name
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import tune as keys
from backprop_tui.app.screens.room import Room
from backprop_tui.app.screens.tune_words import (
    changes_lines,
    check_lines,
    data_words,
    estimate_lines,
    form_fields,
    help_line,
    launch_body,
    model_words,
    preset_rows,
)
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.form import Form
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.modal import Choice, ConfirmModal, PromptModal
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.presets import PresetTable
from backprop_tui.app.widgets.sheet import Sheet
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.launch.estimate import Estimate, Shapes, estimate
from backprop_tui.protocol.errors import BackpropError, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.config.presets import Preset
    from backprop_tui.protocol.fields import Setting
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.store.layout import RunDir

#: Seconds without a change before the checks run.
_SETTLE_S = 0.4
_TYPE_IT = "\0type"


class TuneScreen(Room):
    """Presets left, settings in the middle, estimate, checks and changes right; stacked where it is narrower."""

    ROOM = "tune"
    CSS_PATH = "tune.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._presets: dict[str, Preset] = {}
        self._advanced = False
        self._problem = ""
        self._checked: BackpropError | None = None
        self._checked_for: object = None
        self._check_state = "waiting"
        self._shapes: dict[str, Shapes | None] = {}
        self._rows: dict[str, int | None] = {}
        self._ready = False
        self._launching = False

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
        words = f"{data_words(self.draft.data, 24)} {dot} {model_words(self.draft.model, 24)}   "
        return ((words, "text"),)

    def on_mount(self) -> None:
        """Load presets, settings and pydantic in a thread; then fill the form."""
        self._timer = self.set_timer(_SETTLE_S, self._check, pause=True)
        self._load()

    def on_screen_resume(self) -> None:
        """Data may have been picked meanwhile."""
        if self._ready:
            self.refresh_all()

    def on_resize(self, event: events.Resize) -> None:
        """Where panels go one by one, the facts can be reached with Tab too."""
        for name in ("estimate", "checks", "changes"):
            self.query_one(f"#{name}", Sheet).can_focus = event.size.width < 80

    def wants(self, panel: Panel) -> bool:
        """In a stack the estimate also says what the checks found, and the form marks what changed."""
        return self.narrow or self.has_class("-wide") or panel.id not in ("checks-panel", "changes-panel")

    def _load(self) -> None:
        def work(cancelled: Cancelled) -> tuple[dict[str, Preset], list[UsageError], str, str]:
            from backprop_tui.config.presets import DEFAULT_PRESET, load_presets, preset_problems
            from backprop_tui.config.settings import load_settings
            from backprop_tui.protocol import fields

            fields.settings()
            problems = preset_problems()
            try:
                settings = load_settings()
                model, preset = settings.model, settings.preset
            except BackpropError as error:
                problems.append(UsageError(error.code, error.cause, error.next_step))
                model, preset = DEMO, DEFAULT_PRESET
            return load_presets(), problems, model, preset

        in_thread(self, work, self._loaded, self._complain, group="tune-load")

    def _loaded(self, found: tuple[dict[str, Preset], list[UsageError], str, str]) -> None:
        self._presets, problems, model, preset = found
        self.draft.begin(model=model, preset=preset if preset in self._presets else "balanced")
        with self.presets.prevent(LiveTable.Highlighted):
            self.presets.update(preset_rows(self._presets))
        self._ready = True
        if problems:
            self.backprop.say(str(problems[0]), "warn")
        self.refresh_all()
        if self.focused is None or self.focused is self.presets:
            self.form.lines.focus()

    # -- showing ------------------------------------------------------------------------------------------------------

    def refresh_all(self) -> None:
        """Everything that follows from the draft."""
        try:
            spec, base = self.draft.spec(), self.draft.base()
        except BackpropError as error:
            self._complain(error)
            return
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
        self._show_estimate(spec)
        self.show_context()
        self._look_at_model()
        self._look_at_data()
        self._check_state = "waiting"
        self._timer.stop()
        self._timer = self.set_timer(_SETTLE_S, self._check)
        self._show_checks()

    def _show_about(self) -> None:
        preset = self._presets.get(self.draft.preset)
        about = preset.about if preset else ""

        def build(width: int, height: int) -> Sequence[Line]:
            head: list[Line] = [((f"about {safe_text(self.draft.preset, limit=40)}", "strong"),)]
            return [*head, *(((line, "muted"),) for line in wrap(about, width))]

        self.query_one("#about", Sheet).show(build)

    def _show_changes(self) -> None:
        differences = self.draft.differences()
        self.query_one("#changes", Sheet).show(lambda width, height: changes_lines(differences, width, height))

    def _show_help(self) -> None:
        setting = self._setting_here()
        problem = self._problem
        self.query_one("#help-line", Sheet).show(lambda width, height: [help_line(setting, problem, width)])

    def _estimate(self, spec: RunSpec) -> Estimate:
        return estimate(spec, self._rows.get(self.draft.data), self._shapes.get(self.draft.model))

    def _show_estimate(self, spec: RunSpec) -> None:
        found = self._estimate(spec)
        check = self._check_words()
        self.query_one("#estimate", Sheet).show(lambda width, height: estimate_lines(spec, found, width, height, check))

    def _check_words(self) -> tuple[str, str]:
        if self._check_state != "done":
            return "checking", "muted"
        if self._checked is None:
            return "ready: press g", "good"
        return f"{self._checked.cause} {self._checked.next_step}", "bad"

    def _show_checks(self) -> None:
        error, state, ascii_only = self._checked, self._check_state, glyphs_of(self).marks == "ascii"
        self.query_one("#checks", Sheet).show(lambda width, height: check_lines(state, error, width, ascii_only))
        words, role = self._check_words()
        short = {"good": "ready", "bad": "1 problem"}.get(role, words)
        self.query_one("#checks-panel", Panel).label(facts=((short, role),))
        self.query_one("#estimate-panel", Panel).label(facts=((short, role),) if not self.has_class("-wide") else "")

    def _setting_here(self) -> Setting | None:
        field = self.form.lines.current
        if field is None or not self._ready:
            return None
        from backprop_tui.protocol.fields import find_setting

        return find_setting(field.key)

    def _complain(self, error: BackpropError) -> None:
        self.backprop.say(str(error), "bad")

    # -- facts from disk ----------------------------------------------------------------------------------------------

    def _look_at_model(self) -> None:
        base = self.draft.model
        if base in self._shapes:
            return

        def work(cancelled: Cancelled) -> Shapes | None:
            from backprop_tui.data.models import resolve_model
            from backprop_tui.launch.estimate import read_shapes

            place = resolve_model(base)
            return None if place is None else read_shapes(place)

        def done(shapes: Shapes | None) -> None:
            self._shapes[base] = shapes
            self._show_estimate(self.draft.spec())

        # A model that isn't here yet, or isn't usable, is the checks' business; the estimate just stays unknown.
        in_thread(self, work, done, lambda _: self._shapes.__setitem__(base, None), group="tune-model")

    def _look_at_data(self) -> None:
        data = self.draft.data
        if data in self._rows:
            return

        def work(cancelled: Cancelled) -> int | None:
            return self.backprop.draft.scans.usable_rows(data, cancelled)

        def done(rows: int | None) -> None:
            self._rows[data] = rows
            self._show_estimate(self.draft.spec())

        in_thread(self, work, done, lambda _: self._rows.__setitem__(data, None), group="tune-data")

    def _check(self) -> None:
        try:
            spec = self.draft.spec()
        except BackpropError as error:
            self._check_done(error)
            return

        # Reading the data again for another learning rate would find nothing new; the launch checks everything anyway.
        matters = (spec.model, spec.lora, spec.data, spec.optim.optimizer, spec.run.keep)
        if matters == self._checked_for:
            self._check_done(self._checked)
            return

        def work(cancelled: Cancelled) -> None:
            from backprop_tui.launch.preflight import check

            def go_on(rows: int, total: int | None) -> None:
                if cancelled():
                    raise InterruptedError

            check(spec, on_progress=go_on)

        def done(error: BackpropError | None) -> None:
            self._checked_for = matters
            self._check_done(error)

        self._check_state = "checking"
        in_thread(self, work, done, done, group="tune-check")

    def _check_done(self, error: BackpropError | None) -> None:
        self._checked, self._check_state = error, "done"
        self._show_checks()
        self._show_estimate(self.draft.spec())

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
            self._pick(setting)
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

    def _pick(self, setting: Setting) -> None:
        def answered(answer: str | None) -> None:
            if answer is not None:
                try:
                    self.draft.set(setting.key, answer)
                except BackpropError as error:
                    self._complain(error)
                self.refresh_all()

        now = str(setting.get(self.draft.spec()))
        choices = [Choice(choice, choice) for choice in setting.choices]
        self.app.push_screen(
            ConfirmModal(Content(setting.title), Content(setting.help), choices, now, cancel="Leave it"), answered
        )

    def action_model(self) -> None:
        """Pick the base model."""

        def work(cancelled: Cancelled) -> list[str]:
            from backprop_tui.config.recent import recent

            return recent("model")

        in_thread(self, work, self._offer_models, self._complain, group="tune-recent")

    def _offer_models(self, known: list[str]) -> None:
        bases = [DEMO, *(base for base in known if base != DEMO)]
        if self.draft.model not in bases:
            bases.insert(1, self.draft.model)
        choices = [
            Choice(base, "demo, the bundled tiny model" if base == DEMO else safe_text(base)) for base in bases[:10]
        ]
        choices.append(Choice(_TYPE_IT, "type a folder or a hub id…", "t"))
        body = Content("A folder with config.json, tokenizer and safetensors, or a hub id such as Qwen/Qwen3-0.6B.")
        modal = ConfirmModal(Content("Base model"), body, choices, self.draft.model, cancel="Leave it")
        self.app.push_screen(modal, self._model_answered)

    def _model_answered(self, answer: str | None) -> None:
        if answer == _TYPE_IT:
            value = "" if self.draft.model == DEMO else self.draft.model
            prompt = PromptModal(
                Content("Base model"),
                Content("A folder on this machine, or a hub id."),
                value=value,
                placeholder="~/models/llama  or  Qwen/Qwen3-0.6B",
                check=lambda text: None if text else "Type a folder or a hub id, or press Esc.",
            )
            self.app.push_screen(prompt, self._model_answered)
        elif answer is not None:
            place = os.path.expanduser(answer)
            self.draft.use_model(os.path.abspath(place) if os.path.isdir(place) else answer)
            self.refresh_all()

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
        from backprop_tui.protocol.fields import settings

        wanted = message.text.casefold().replace(" ", "_")
        ranked = sorted(
            (rank, number, setting)
            for number, setting in enumerate(settings())
            if (rank := _match(setting, wanted, message.text.casefold())) is not None
        )
        if ranked:
            setting = ranked[0][2]
            if setting.advanced and not self._advanced:
                self._advanced = True
                self.refresh_all()
            self.form.go_to(setting.key)
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

        def check(name: str) -> str | None:
            try:
                check_preset_name(name)
            except UsageError as error:
                return f"{error.cause} {error.next_step}"
            return None

        def answered(name: str | None) -> None:
            if name is None:
                return
            try:
                file = self.draft.save_preset(name)
            except BackpropError as error:
                self._complain(error)
                return
            self.backprop.say(f"Saved {file}.", "good")
            self._load()

        body = Content("The settings without name, data and model. They appear in the list under this name.")
        self.app.push_screen(
            PromptModal(Content("Save as a preset"), body, placeholder="support-bot", check=check), answered
        )

    # -- launching ----------------------------------------------------------------------------------------------------

    def action_launch(self) -> None:
        """Show what will be started; start it when confirmed."""
        if self._launching:
            self.backprop.say("The run is being started.")
            return
        try:
            spec = self.draft.spec()
        except BackpropError as error:
            self._refused(error)
            return

        def answered(answer: str | None) -> None:
            if answer == "launch":
                self._start(spec)

        body = launch_body(spec, self.draft, self._estimate(spec))
        modal = ConfirmModal(
            Content("Launch this run"), body, [Choice("launch", "Launch", "g")], "launch", cancel="Back to the settings"
        )
        self.app.push_screen(modal, answered)

    def _start(self, spec: RunSpec) -> None:
        self._launching = True
        self.backprop.say(f"Starting {spec.title}.")

        def work(cancelled: Cancelled) -> RunDir:
            from backprop_tui.config.recent import remember
            from backprop_tui.launch.start import start_run

            run = start_run(spec)
            if spec.data.path != DEMO:
                remember("data", spec.data.path)
            if spec.model.base != DEMO:
                remember("model", spec.model.base)
            return run

        def done(run: RunDir) -> None:
            self._launching = False
            self.backprop.open_run(run)

        def failed(error: BackpropError) -> None:
            self._launching = False
            self._refused(error)

        in_thread(self, work, done, failed, group="tune-launch")

    def _refused(self, error: BackpropError) -> None:
        body = Content("\n\n").join(
            [
                Content(safe_text(error.cause)),
                Content(safe_text(error.next_step)),
                Content(f"({error.code}) Your settings are as they were."),
            ]
        )
        self.app.push_screen(ConfirmModal(Content("Not started"), body, [], cancel="Back to the settings"))


def _match(setting: Setting, key: str, words: str) -> int | None:
    """How well a setting fits what was typed: 0 best, None not at all."""
    title = setting.title.casefold()
    if setting.key == key or title == words or setting.alias == key:
        return 0
    if setting.key.startswith(key) or title.startswith(words):
        return 1
    if key in setting.key or words in title:
        return 2
    return 3 if words in setting.help.casefold() else None
