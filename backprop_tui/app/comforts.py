"""What the app does for the person in front of it: look, profile, mouse, jump mode, memory, and words outside the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import textual.screen
from textual import events
from textual.screen import Screen
from textual.theme import Theme

from backprop_tui.app import themes
from backprop_tui.app.glyphs import ASCII, BLOCKS, UNICODE, Glyphs
from backprop_tui.app.held import HoldsStill
from backprop_tui.app.keeper import Keeper
from backprop_tui.app.keycheck import check_keymap
from backprop_tui.app.notify import Outside
from backprop_tui.app.state import SavedState
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.theme_watch import ThemeWatch
from backprop_tui.app.widgets.footer import Severity
from backprop_tui.app.widgets.painted import Painted

if TYPE_CHECKING:
    from backprop_tui.app.jump import Jump

_PROFILE_WORDS = {
    "local": "everything at once",
    "ssh": "once a second, for a network between",
    "low": "every three seconds, for a slow line",
}


def glyphs_for(terminal: Terminal) -> Glyphs:
    """The signs a terminal gets."""
    return ASCII if terminal.ascii else BLOCKS if terminal.blocks else UNICODE


class Comforts(HoldsStill):
    """Base of the app.

    Args:
        terminal: what was decided about the terminal. saved: where the person left; None remembers nothing.
    """

    def __init__(
        self, terminal: Terminal, saved: SavedState | None = None, driver_class: type[Any] | None = None
    ) -> None:
        super().__init__(driver_class=driver_class)
        self.terminal = terminal
        self.glyphs = glyphs_for(terminal)
        self.keeper = Keeper(self, saved) if saved is not None else None  # type: ignore[arg-type]
        self.outside = Outside(self._write_out, self._run_later)
        self._jump: Jump | None = None
        self._theme_watch: ThemeWatch | None = None
        keymap = check_keymap(terminal.keys)
        if keymap.keys:
            self.set_keymap(dict(keymap.keys))
        told = [problem.text for problem in keymap.problems if problem.refused]
        more = f" ({len(told)} such; `backprop config keys` lists them)" if len(told) > 1 else ""
        self.start_problems: list[str] = [f"[keys] {told[0]}{more}"] if told else []

    def say(self, text: str, severity: Severity = "info") -> None:
        """One sentence in the footer of the open room."""
        raise NotImplementedError

    def go_to(self, room: str) -> None:
        """Open a room."""
        raise NotImplementedError

    def show_place(self) -> None:
        """Bring the header's end up to date."""
        raise NotImplementedError

    # -- life ---------------------------------------------------------------------------------------------------------

    def begin_comforts(self) -> None:
        """After the app is mounted: title, themes of the person's own, what was wrong with keys and themes."""
        terminal = self.terminal
        self.outside.use(notify=terminal.notify, title=terminal.title and not self.is_headless, ascii=terminal.ascii)
        self._theme_watch = ThemeWatch(self, self._theme_read, lambda problem: self.say(str(problem), "warn"))
        self._theme_watch.start()
        if self.start_problems:
            self.call_after_refresh(self.say, self.start_problems[0], "warn")

    def end_comforts(self) -> None:
        """Before the app ends."""
        if self.keeper is not None:
            self.keeper.write_now()
        self.outside.end()

    def on_app_focus(self) -> None:
        """Somebody looks again: at their themes too."""
        self.outside.looked_at(True)
        if self._theme_watch is not None:
            self._theme_watch.start()

    def on_app_blur(self) -> None:
        """Nobody looks."""
        self.outside.looked_at(False)
        if self._theme_watch is not None:
            self._theme_watch.pause()

    async def on_event(self, event: events.Event) -> None:
        """Whatever a person does is worth remembering soon; a click ends jump mode."""
        if isinstance(event, (events.Key, events.MouseDown)) and not event.is_forwarded:
            self.outside.key()
            if self.keeper is not None:
                self.keeper.touched()
            if self._jump is not None and isinstance(event, events.MouseDown):
                self.end_jump()
        await super().on_event(event)

    async def _send_key(self, key: events.Key) -> None:
        if self._jump is None:
            await super()._send_key(key)
            return
        jump, character = self._jump, key.character or ""
        if not jump.take(character if character.isprintable() else ""):
            self._jump = None
        self._on_the_way = key
        self._follow(key, 1, self.screen)

    def _write_out(self, words: str) -> None:
        driver = self._driver
        if driver is not None and not self.is_headless:
            driver.write(words)
            driver.flush()

    def _run_later(self, work: Callable[[], None]) -> None:
        self.run_worker(work, thread=True, group="outside", exit_on_error=False)

    # -- look ---------------------------------------------------------------------------------------------------------

    def use_theme(self, name: str) -> bool:
        """Another theme at once; False when there is none of that name."""
        if name not in self.available_themes:
            self.say(str(themes.unknown_theme(name, self.available_themes)), "warn")
            return False
        self.theme = name
        return True

    def _theme_read(self, theme: Theme) -> None:
        """A theme file of the person's has changed."""
        self.register_theme(theme)
        if theme.name == self.theme:
            self._watch_theme(theme.name)
        self.say(f"Theme {theme.name} was read anew.")

    def action_change_theme(self) -> None:
        """Choose a theme; each is seen while the bar is on it."""
        from backprop_tui.app.screens.theme_picker import ThemePicker

        ours = [theme.name for theme in themes.load_themes()[0]]
        others = sorted(name for name in self.available_themes if name not in ours)
        self.push_screen(ThemePicker([*dict.fromkeys(ours), *others], self.theme), self._theme_chosen)

    def _theme_chosen(self, name: str | None) -> None:
        if name is not None:
            self.theme = name
            self.save_preference("theme", name)

    def save_preference(self, key: str, value: str | bool) -> None:
        """Write a setting in a thread and say where it is kept, or why it does not last."""
        from backprop_tui.app.jobs import Cancelled, in_thread

        def work(cancelled: Cancelled) -> str:
            from backprop_tui.config.settings import save_setting, settings_file, sources

            save_setting(key, value)
            origin = sources()[key]
            where = str(settings_file())
            return f"kept in {where}" if origin == where else f"but {origin} wins at the next start"

        def done(where: str) -> None:
            self.say(f"{key} is {value}, {where}.")
            read = getattr(self.screen, "read", None)
            if callable(read):
                # The settings are open below: they show what was kept.
                read()

        in_thread(self, work, done, lambda error: self.say(str(error), "warn"), group="preference")

    def use_signs(self, *, ascii: bool | None = None, blocks: bool | None = None) -> None:
        """Other signs at once, on every screen."""
        now = self.terminal
        self.terminal = replace(
            now, ascii=now.ascii if ascii is None else ascii, blocks=now.blocks if blocks is None else blocks
        )
        self.glyphs = glyphs_for(self.terminal)
        self.set_class(self.terminal.ascii, "-ascii")
        self.outside.use(notify=self.outside.notify, title=self.outside.title, ascii=self.terminal.ascii)
        for screen in self._all_screens():
            for widget in screen.query("*"):
                if isinstance(widget, Painted):
                    widget.forget()
                widget.refresh()

    def _all_screens(self) -> list[Screen[Any]]:
        return [screen for stack in self._screen_stacks.values() for screen in stack]

    # -- terminal -----------------------------------------------------------------------------------------------------

    def use_profile(self, name: str) -> None:
        """How much is sent, at once; `auto` decides from the environment."""
        import os

        from backprop_tui.app.terminal import examine

        profile = examine(os.environ, {"profile": name}).profile if name == "auto" else PROFILES[name]
        self.terminal = replace(self.terminal, profile=profile)
        textual.screen.UPDATE_PERIOD = 1 / profile.fps  # type: ignore[misc]
        for screen in self._all_screens():
            # Its pace was fixed when it was made; the next one is made when it is asked for.
            screen._update_timer.stop()
            screen._Screen__update_timer = None  # type: ignore[attr-defined]
            screen._update_timer.resume()
        self._mouse_again()
        self.show_place()
        self.say(f"Profile {profile.name}: {_PROFILE_WORDS[profile.name]}.")

    def action_next_profile(self) -> None:
        """local, ssh, low, around."""
        names = list(PROFILES)
        self.use_profile(names[(names.index(self.terminal.profile.name) + 1) % len(names)])

    def use_mouse(self, on: bool) -> None:
        """Take the mouse, or leave it to the terminal, at once."""
        self.terminal = replace(self.terminal, mouse=on)
        self._mouse_again()

    def _mouse_again(self) -> None:
        driver = self._driver
        switch = getattr(driver, "use_mouse", None)
        if switch is not None and not self.is_headless:
            switch(self.terminal.mouse, motion=self.terminal.profile.motion)

    def use_outside(self, *, notify: str | None = None, title: bool | None = None) -> None:
        """Other ways to tell, at once."""
        now = self.terminal
        self.terminal = replace(
            now, notify=now.notify if notify is None else notify, title=now.title if title is None else title
        )
        self.outside.use(
            notify=self.terminal.notify, title=self.terminal.title and not self.is_headless, ascii=self.terminal.ascii
        )

    # -- jump mode ----------------------------------------------------------------------------------------------------

    def action_jump(self) -> None:
        """Letters on everything that can be gone to."""
        from backprop_tui.app.jump import Jump

        self.end_jump()
        jump = Jump(self.screen)
        if jump.targets:
            self._jump = jump

    def end_jump(self) -> None:
        """Letters away."""
        if self._jump is not None:
            self._jump.end()
            self._jump = None
