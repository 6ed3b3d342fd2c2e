"""Settings: every field of the settings model with its value, where that comes from, and what it may be.

What the model says decides how a setting is edited; what takes effect at once does so here, the rest says when it will.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from backprop_tui.app.actions import bindings
from backprop_tui.app.clipboard import copy_out
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import settings as keys
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.sheet import Sheet
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.app.widgets.table_rows import Cell, Column, Row
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.config.settings_info import SettingInfo

_COLUMNS = (
    Column("setting", "setting", 18),
    Column("value", "value", 16, flex=True, middle=True),
    Column("from", "from", 22, middle=True, drop=1),
    Column("effect", "takes effect", 26, drop=2),
)


class SettingsTable(LiveTable):
    """The list with this screen's keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.TABLE)]


class SettingsScreen(Room):
    """The settings over the room that was open."""

    ROOM = "settings"
    kept = False
    OVER = True
    CSS = """
    SettingsScreen #settings-about-panel { height: 6; }
    SettingsScreen.-wide #settings-about-panel { height: 9; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._infos: tuple[SettingInfo, ...] = ()
        self._values: Mapping[str, Any] = {}
        self._origins: Mapping[str, str] = {}
        self._file = ""

    def compose_body(self) -> ComposeResult:
        """The list, and what is known of the setting under the cursor."""
        table = SettingsTable(_COLUMNS, empty=("Reading the settings.",), id="settings-table")
        yield Panel("settings", table, id="settings-panel")
        yield Panel("about", Sheet(id="settings-about"), id="settings-about-panel")

    @property
    def table(self) -> LiveTable:
        """The list."""
        return self.query_one("#settings-table", LiveTable)

    def wants(self, panel: Panel) -> bool:
        """The explanation needs some height."""
        return panel.id != "settings-about-panel" or not self.short

    def on_mount(self) -> None:
        """Read them in a thread."""
        self.read()

    def read(self) -> None:
        """Values and where they come from, once more."""

        def work(cancelled: Cancelled) -> tuple[tuple[SettingInfo, ...], Mapping[str, Any], Mapping[str, str], str]:
            from backprop_tui.config.settings import load_settings, settings_file, sources
            from backprop_tui.config.settings_info import settings_info

            values = load_settings()
            return (
                settings_info(),
                {key: getattr(values, key) for key in type(values).model_fields},
                sources(),
                str(settings_file()),
            )

        in_thread(self, work, self._show, self._failed, group="settings-read")

    def _failed(self, error: BackpropError) -> None:
        self.table.set_empty(*wrap(str(error), max(20, self.app.size.width - 8)))
        self.backprop.say(str(error), "bad")

    def _show(self, found: tuple[tuple[SettingInfo, ...], Mapping[str, Any], Mapping[str, str], str]) -> None:
        from backprop_tui.config.settings_info import EFFECTS, shown

        self._infos, self._values, self._origins, self._file = found
        rows: list[Row] = []
        group = ""
        for info in self._infos:
            if info.group != group:
                group = info.group
                rows.append(Row(f"rule {group}", rule=group))
            origin = self._origins[info.key]
            role = "muted" if origin == "default" else "accent"
            rows.append(
                Row(
                    info.key,
                    (
                        Cell(info.key),
                        Cell(safe_text(shown(self._values[info.key]), limit=200), role if origin != "default" else ""),
                        Cell(safe_text(self._from(origin)), role),
                        Cell(EFFECTS[info.effect], "muted"),
                    ),
                )
            )
        self.table.update(rows)
        self.query_one("#settings-panel", Panel).label(facts=safe_text(self._file, limit=100))
        self._about()

    def _from(self, origin: str) -> str:
        return "settings.toml" if origin == self._file else ".env" if origin.endswith(".env") else origin

    @on(LiveTable.Highlighted, "#settings-table")
    def _about(self) -> None:
        info = self._current()
        if info is None:
            return
        origin = safe_text(self._origins[info.key])
        from backprop_tui.config.settings_info import EFFECTS, shown

        bounds = "any of those F2 shows" if info.key == "theme" else info.bounds
        facts = [
            f"{info.help[:1].upper()}{info.help[1:]}.",
            f"May be {bounds}. Without a word of yours: {shown(info.default)}.",
            f"Comes from {'the program' if origin == 'default' else origin}; a change counts {EFFECTS[info.effect]}.",
        ]
        if origin.startswith("BACKPROP_") or origin.endswith(".env"):
            facts.append("That wins over settings.toml at every start.")

        def build(width: int, height: int) -> Sequence[Line]:
            lines = [line for fact in facts for line in wrap(fact, width)]
            return [((line, "text"),) for line in lines[:height]]

        self.query_one("#settings-about", Sheet).show(build)
        self.query_one("#settings-about-panel", Panel).label(title=info.key)

    def _current(self) -> SettingInfo | None:
        row = self.table.current
        return next((info for info in self._infos if row is not None and info.key == row.key), None)

    # -- changing -----------------------------------------------------------------------------------------------------

    @on(LiveTable.Chosen, "#settings-table")
    def _edit(self) -> None:
        info = self._current()
        if info is None:
            return
        if info.key == "theme":
            self.backprop.action_change_theme()
        elif info.kind == "switch":
            self._set(info, not self._values[info.key])
        elif info.kind == "choice":
            self._pick(info)
        elif info.kind == "table":
            self.say(f"A table: edit it in {safe_text(self._file)}; `backprop config keys` lists names and problems.")
        else:
            self._ask(info)

    def _pick(self, info: SettingInfo) -> None:
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        choices = [Choice(choice, choice) for choice in info.choices]
        modal = ConfirmModal(
            Content(info.key), Content(f"{info.help}."), choices, str(self._values[info.key]), cancel="Leave it"
        )
        self.app.push_screen(modal, lambda answer: self._set(info, answer) if answer is not None else None)

    def _ask(self, info: SettingInfo) -> None:
        from backprop_tui.app.widgets.modal import PromptModal

        def check(text: str) -> str | None:
            from backprop_tui.config.settings import check_setting

            try:
                check_setting(info.key, text)
            except BackpropError as error:
                return f"{error.cause} {error.next_step}".strip()
            return None

        prompt = PromptModal(
            Content(info.key), Content(f"{info.help}; {info.bounds}."), value=str(self._values[info.key]), check=check
        )
        self.app.push_screen(prompt, lambda answer: self._set(info, answer) if answer is not None else None)

    def action_nudge(self, by: int) -> None:
        """The next value of a choice or a switch."""
        info = self._current()
        if info is None:
            return
        if info.key == "theme":
            names = sorted(self.app.available_themes)
            now = names.index(self.app.theme) if self.app.theme in names else 0
            self._set(info, names[(now + by) % len(names)])
        elif info.kind == "switch":
            self._set(info, not self._values[info.key])
        elif info.kind == "choice":
            now = info.choices.index(str(self._values[info.key]))
            self._set(info, info.choices[(now + by) % len(info.choices)])
        else:
            self.say("Enter changes this one.")

    def _set(self, info: SettingInfo, value: str | bool) -> None:
        def work(cancelled: Cancelled) -> None:
            from backprop_tui.config.settings import save_setting

            save_setting(info.key, value)

        in_thread(self, work, lambda _: self._written(info), self._refused, group="settings-write")

    def action_reset(self) -> None:
        """Take the setting out of the file."""
        info = self._current()
        if info is None:
            return
        if info.kind == "table":
            self.say(f"A table: take it out of {safe_text(self._file)} by hand.")
            return

        def work(cancelled: Cancelled) -> None:
            from backprop_tui.config.settings import drop_setting

            drop_setting(info.key)

        in_thread(self, work, lambda _: self._written(info), self._refused, group="settings-write")

    def _refused(self, error: BackpropError) -> None:
        self.backprop.say(str(error), "bad")

    def _written(self, info: SettingInfo) -> None:
        """Read what is in force, use it where that can be done, and say which it was."""

        def work(cancelled: Cancelled) -> tuple[Any, str]:
            from backprop_tui.config.settings import load_settings, sources

            return getattr(load_settings(), info.key), sources()[info.key]

        def done(found: tuple[Any, str]) -> None:
            from backprop_tui.config.settings_info import EFFECTS, shown

            value, origin = found
            self._use(info.key, value)
            words = f"{info.key} is {shown(value)}, {EFFECTS[info.effect]}."
            if origin.startswith("BACKPROP_") or origin.endswith(".env"):
                words = f"{info.key} stays {shown(value)}: {origin} wins over settings.toml."
            self.backprop.say(words)
            self.read()

        in_thread(self, work, done, self._refused, group="settings-use")

    def _use(self, key: str, value: Any) -> None:
        app = self.backprop
        match key:
            case "theme":
                app.use_theme(str(value))
            case "profile":
                app.use_profile(str(value))
            case "ascii":
                app.use_signs(ascii=bool(value))
            case "marks":
                app.use_signs(blocks=value == "blocks")
            case "mouse":
                app.use_mouse(bool(value))
            case "notify":
                app.use_outside(notify=str(value))
            case "title":
                app.use_outside(title=bool(value))
            case "unfocused":
                app.may_hold = value != "live"

    def on_screen_resume(self) -> None:
        """A theme may have been chosen over this screen."""
        super().on_screen_resume()
        if self._infos:
            self.read()

    def action_copy(self) -> None:
        """The path of the file, to the clipboard."""
        self.backprop.say(copy_out(self.app, self._file, "settings-path.txt"))

    def action_close(self) -> None:
        """Back to the room."""
        self.app.pop_screen()
