"""The application: four rooms, one header and footer, one run open at a time. Everything else is in the rooms."""

from __future__ import annotations

import gc
import platform
import traceback
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.screen import Screen

from backprop_tui.app import themes
from backprop_tui.app.actions import bindings
from backprop_tui.app.comforts import Comforts
from backprop_tui.app.keymap import shell
from backprop_tui.app.state import SavedState
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.watching import WORDS, room_refused
from backprop_tui.app.widgets.footer import Severity
from backprop_tui.app.widgets.painted import Line
from backprop_tui.config import paths
from backprop_tui.config.view_only import view_only
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir

if TYPE_CHECKING:
    from backprop_tui.app.draft import Draft
    from backprop_tui.app.screens.room import Room

_STATE_ROLES = {
    RunState.QUEUED: "muted",
    RunState.STARTING: "idle", RunState.RUNNING: "live", RunState.PAUSED: "warn", RunState.STOPPING: "warn",
    RunState.COMPLETED: "good", RunState.STOPPED: "idle", RunState.ABORTED: "warn", RunState.FAILED: "bad",
    RunState.CRASHED: "bad",
}  # fmt: skip


def _lazily(module: str, name: str) -> Callable[[], Screen[Any]]:
    """A room that is imported when first opened."""

    def make() -> Screen[Any]:
        screen: Screen[Any] = getattr(import_module(f"backprop_tui.app.screens.{module}"), name)()
        return screen

    return make


def state_role(state: RunState) -> str:
    """The ink role of a run's state."""
    return _STATE_ROLES[state]


class BackpropApp(Comforts):
    """The app.

    Args:
        screen: the room to open first. run: the run to show on the Run screen. terminal: what was decided about the
            terminal; None draws for a local UTF-8 one. saved: where the person left; None remembers nothing.
    """

    TITLE = "backprop"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    CSS = """
    CommandPalette SearchIcon { display: none; }
    Room { background: $background; color: $foreground; layout: vertical; }
    Room > #body { height: 1fr; width: 1fr; }
    Room.-wide Panel { padding: 1; }
    BackpropApp.-ascii ModalScreen #box { border: ascii $primary; }
    """
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "data": _lazily("data", "DataScreen"),
        "tune": _lazily("tune", "TuneScreen"),
        "run": _lazily("run", "RunScreen"),
        "runs": _lazily("runs", "RunsScreen"),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(action for action in shell.ACTIONS if action.id not in ("shell.panel", "shell.panel_back")),
    ]

    def __init__(
        self, screen: str = "data", run: RunDir | None = None, terminal: Terminal | None = None,
        driver_class: type[Any] | None = None, saved: SavedState | None = None,
    ) -> None:  # fmt: skip
        self.run_dir = run
        #: A run to play once the first screen is up, and how fast.
        self.played: tuple[RunDir, float] | None = None
        self._run_title = ""
        self._run_state: RunState | None = None
        self._run_alerts = (0, 0)
        self._draft: Draft | None = None
        self._host = safe_text(platform.node() or "localhost", limit=30)
        # The first mode is the app's default one, so that no empty screen is drawn before it.
        self.DEFAULT_MODE = screen  # type: ignore[misc]
        terminal = terminal or Terminal(PROFILES["local"], False, themes.DEFAULT_THEME, {}, False)
        super().__init__(terminal, saved, driver_class)
        self.may_hold = self.terminal.hold
        self.animation_level = "none"
        found, problems = themes.load_themes()
        for theme in found:
            self.register_theme(theme)
        known = self.terminal.theme in self.available_themes
        # What Textual's watcher does, without its second pass over all style sheets before the first paint.
        self.set_reactive(Comforts.theme, self.terminal.theme if known else themes.DEFAULT_THEME)
        self.stylesheet.set_variables(self.get_css_variables())
        self._refresh_truecolor_filter(self.ansi_theme)
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        if not known:
            problems.append(themes.unknown_theme(self.terminal.theme, self.available_themes))
        self.start_problems += map(str, problems)

    # -- what other rooms use ----------------------------------------------------------------------------------------

    @property
    def draft(self) -> Draft:
        """The run being prepared; made when first asked for."""
        if self._draft is None:
            from backprop_tui.app.draft import Draft

            self._draft = Draft()
            if self.keeper is not None:
                self._draft.recall(self.keeper.saved.draft)
        return self._draft

    def draft_words(self) -> dict[str, Any]:
        """What is being prepared, for the next start; empty when nobody asked for it yet."""
        return self._draft.remember() if self._draft is not None else {}

    @property
    def room(self) -> Room | None:
        """The room that is open, also when a dialog lies over it."""
        from backprop_tui.app.screens.room import Room

        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Room)), None)

    def open_run(self, run: RunDir) -> None:
        """Show a run, live or past, on the Run screen."""
        from backprop_tui.app.screens.run import RunScreen

        self.run_dir = run
        self._back_to_room()
        self.switch_mode("run")
        room = self.room
        if isinstance(room, RunScreen):
            room.open(run)

    def say(self, text: str, severity: Severity = "info") -> None:
        """One sentence in the footer of the open room. Foreign parts are made harmless here."""
        room = self.room
        if room is not None:
            room.say(safe_text(text, limit=400), severity)

    def hear(self, title: str, state: RunState, share: float | None, loss: str) -> None:
        """News of the open run, also while another room is open: for the header, the window's title and signs.

        Args:
            title: what the run is called.
            state: its state.
            share: the part that is done, 0 to 1; None is unknown.
            loss: in words.
        """
        if self.run_dir is not None:
            self.outside.hear(str(self.run_dir.path), title, state, share, loss)
        self.show_run_state(title, state)

    def show_run_state(self, title: str, state: RunState | None) -> None:
        """What the header says of the open run."""
        if (title, state) == (self._run_title, self._run_state):
            return
        self._run_title, self._run_state = title, state
        if state is not None and not state.live:
            self.glance()
        room = self.room
        if room is not None:
            room.show_context()

    def show_alerts(self, total: int, errors: int) -> None:
        """How much the open run has complained of, for the header."""
        if (total, errors) == self._run_alerts:
            return
        self._run_alerts = (total, errors)
        room = self.room
        if room is not None:
            room.show_context()

    def run_words(self) -> Line:
        """Name and state of the open run for the header."""
        if self._run_state is None:
            return (("no run open   ", "muted"),)
        state = self._run_state
        sign = state.ascii_glyph if self.terminal.ascii else state.glyph
        total, errors = self._run_alerts
        alerts: Line = ((f"! {total:,}   ", "bad" if errors else "warn"),) if total else ()
        return ((f"{self._run_title}   ", "text"), *alerts, (f"{sign} {state.value}   ", state_role(state)))

    def place_words(self) -> Line:
        """Machine and profile for the header."""
        profile = f" {self.glyphs.dot} {self.terminal.profile.name}"
        role = f" {self.glyphs.dot} view only" if view_only() else ""
        held: Line = ((f"held {self.glyphs.dot} ", "warn"),) if self.held else ()
        return (*held, (f"{self._host}{profile}{role} ", "muted"))

    def show_held(self) -> None:
        """Say in the header that the screen holds still."""
        self.show_place()

    def show_place(self) -> None:
        """Bring the header's end up to date."""
        if self.room is not None:
            self.room.show_context()

    # -- life ---------------------------------------------------------------------------------------------------------

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our semantic colours for themes that don't name them."""
        return themes.variable_defaults(self.current_theme)

    def on_mount(self) -> None:
        """Signals, title, and what was wrong with the person's keys and themes."""
        if not self.is_headless:
            from backprop_tui.app.driver import install_signals

            install_signals(self)
        self.set_class(self.terminal.ascii, "-ascii")
        self.begin_comforts()

    def exit(self, result: Any = None, return_code: int = 0, message: Any = None) -> None:
        """Leave, after what is to be remembered is written."""
        self.end_comforts()
        super().exit(result, return_code, message)

    def on_ready(self) -> None:
        """The first screen is up: collect garbage again, but never look at what starting made."""
        if not self.is_headless:
            gc.freeze()
            gc.enable()
        if self.played is not None:
            self.replay(*self.played)

    def _handle_exception(self, error: Exception) -> None:
        """Leave with one sentence; the traceback, without the values of variables, goes to a file."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        self._return_code = 1
        file = paths.cache_dir() / "crash.log"
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text("".join(traceback.format_exception(error)), "utf-8")
            where = f"Details are in {file}."
        except OSError:
            where = "Details could not be written."
        kind = f"{type(error).__name__}: {safe_text(error, limit=200)}"
        again = f" Come back with `backprop attach {self.run_dir.short_id}`." if self.run_dir else ""
        self.panic(Text(f"APP_FAILED: The screen failed ({kind}). {where} A run goes on.{again}"))

    # -- actions ------------------------------------------------------------------------------------------------------

    def action_go(self, room: str) -> None:
        """Open a room."""
        self.go_to(room)

    def go_to(self, room: str) -> None:
        """Open a room."""
        if room_refused(room):
            self.action_only_watching()
        else:
            self._back_to_room()
            self.switch_mode(room)

    def _back_to_room(self) -> None:
        """Close what lies over the rooms: settings, a replay."""
        while len(self.screen_stack) > 1 and getattr(self.screen, "OVER", False):
            self.pop_screen()

    def action_settings(self) -> None:
        """Everything that can be set."""
        from backprop_tui.app.screens.settings import SettingsScreen

        if not any(isinstance(screen, SettingsScreen) for screen in self.screen_stack):
            self.push_screen(SettingsScreen())

    def replay(self, run: RunDir, speed: float = 20.0) -> None:
        """Play a past run over the open room."""
        from backprop_tui.app.screens.replay import ReplayScreen

        self._back_to_room()
        self.push_screen(ReplayScreen(run, speed))

    def action_only_watching(self) -> None:
        """Say why a key does nothing in an app that is shown to others."""
        self.say(WORDS)

    async def action_leave(self) -> None:
        """Leave; a live run goes on, and says how to come back."""
        if self.run_dir is not None and self._run_state is not None and self._run_state.live:
            words = (
                f"{self._run_title} goes on without the screen. Come back with: backprop attach {self.run_dir.short_id}"
            )
            self.exit(message=Text(words))
        else:
            self.exit()

    def action_interrupt(self) -> None:
        """Ctrl+C is a habit; say what it would have meant."""
        self.say("q leaves the app, the run goes on.  On Run, x stops training.")

    def action_help(self) -> None:
        """Every key of the open room."""
        from backprop_tui.app.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[Any]:
        """The palette offers our own actions, nothing of Textual's."""
        from backprop_tui.app.palette import commands

        return commands(self, screen)
