"""The panels of Tune and what they show: presets, settings, the estimate, checks and changes, all following the draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.draft import Draft
from backprop_tui.app.draft_presets import Usual, read_usual
from backprop_tui.app.jobs import in_thread
from backprop_tui.app.prospect import Prospect
from backprop_tui.app.screens.room import Room
from backprop_tui.app.screens.tune_plan import check_lines, estimate_lines, verdict
from backprop_tui.app.screens.tune_words import changes_lines, form_fields, help_line, preset_rows
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


class TunePanels(Room):
    """Presets left, settings in the middle, estimate, checks and changes right; stacked where it is narrower."""

    ROOM = "tune"
    OPENS = "settings-panel"
    filled = False
    CSS_PATH = "tune.tcss"

    def __init__(self) -> None:
        super().__init__()
        self._presets: Mapping[str, Preset] = {}
        self._advanced = False
        self._problem = ""
        self._spec: RunSpec | None = None
        self._ready = False
        self._field_left = ""
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
        in_thread(self, lambda _: read_usual(), self._loaded, self.fill_failed, group="tune-load")

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
        self.mark_filled()

    def refresh_all(self) -> None:
        """Everything that follows from the draft."""
        try:
            spec, base = self.draft.spec(), self.draft.base()
        except BackpropError as error:
            self.complain(error)
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

    def _mark_preset(self) -> None:
        """Put the cursor on the draft's preset, as a consequence and not as a choice."""
        with self.presets.prevent(LiveTable.Highlighted):
            self.presets.select(self.draft.preset)

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
