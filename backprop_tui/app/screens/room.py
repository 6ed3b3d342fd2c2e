"""What all four screens share: the tab line, the body, the footer, and panels that go one by one when it is narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget

from backprop_tui.app.actions import Action, bindings
from backprop_tui.app.keymap import shell
from backprop_tui.app.widgets.footer import Footer, Severity
from backprop_tui.app.widgets.header import Header
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.panel import Panel

if TYPE_CHECKING:
    from backprop_tui.app.app import BackpropApp
    from backprop_tui.protocol.errors import BackpropError

#: Columns from which panels are stacked, and from which they have frames and stand side by side.
_STACKED = 80
_FRAMED = 110
#: Rows from which a screen is more than short, more than low, and tall.
_LOW, _MID, _TALL = 16, 24, 36


class Room(Screen[Any]):
    """Base of Data, Tune, Run and Runs. Subclasses set `ROOM`, give `compose_body`, and may override `context`."""

    ROOM: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(action for action in shell.ACTIONS if action.id in ("shell.panel", "shell.panel_back")),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_STACKED, "-std"), (_FRAMED, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (_LOW, "-low"), (_MID, "-mid"), (_TALL, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = ""
    #: The panel that has the focus when the room opens, where it isn't the first one.
    OPENS: ClassVar[str] = ""
    #: Whether what its keys act on is there; a room that reads it first says False here and calls `mark_filled` then.
    filled = True
    #: Whether the room is remembered between starts, and whether it lies over another one.
    kept = True
    OVER = False

    def mark_filled(self) -> None:
        """What keys act on is there: they need not wait any longer."""
        if not self.filled:
            self.filled = True
            self.backprop.let_keys_go()

    def fill_failed(self, error: BackpropError) -> None:
        """What keys act on will not come: it is said why, and they need not wait for it."""
        self.complain(error)
        self.mark_filled()

    def remember(self) -> dict[str, Any]:
        """What of the room outlives the app, JSON-ready."""
        panel = self.current_panel()
        return {"panel": panel.id} if panel is not None and panel.id else {}

    def recall(self, words: Mapping[str, Any]) -> None:
        """Show it again; odd words change nothing."""
        name = words.get("panel")
        panel = next((panel for panel in self.panels() if panel.id == name), None)
        if panel is not None:
            self.show_panel(panel)

    def compose(self) -> ComposeResult:
        """Header, body, footer."""
        yield Header(self.ROOM)
        with Container(id="body"):
            yield from self.compose_body()
        yield Footer()

    def compose_body(self) -> ComposeResult:
        """What is between the two lines."""
        yield from ()

    def context(self) -> Line:
        """The right end of the header, most important piece last; by default the run that is open."""
        return self.backprop.run_words()

    @property
    def backprop(self) -> BackpropApp:
        """The app, by its own type."""
        return cast("BackpropApp", self.app)

    def say(self, text: str, severity: Severity = "info") -> None:
        """A sentence in the footer, until the next key."""
        self.query_one(Footer).say(text, severity)

    def complain(self, error: BackpropError) -> None:
        """An error in the footer of whatever is on top."""
        self.backprop.say(str(error), "bad")

    def show_context(self) -> None:
        """Bring the header up to date."""
        if self.is_mounted:
            self.query_one(Header).show((*self.context(), *self.backprop.place_words()))

    @property
    def narrow(self) -> bool:
        """Whether only one panel fits. By size, as all of these: the breakpoint's class is set only after the first mount."""
        return self.app.size.width < _STACKED

    @property
    def wide(self) -> bool:
        """Whether panels have frames and stand side by side."""
        return self.app.size.width >= _FRAMED

    @property
    def short(self) -> bool:
        """Whether there are rows for hardly one panel."""
        return self.app.size.height < _LOW

    @property
    def low(self) -> bool:
        """Whether rows are few; what is short is low as well."""
        return self.app.size.height < _MID

    @property
    def tall(self) -> bool:
        """Whether there are rows to spare."""
        return self.app.size.height >= _TALL

    def wants(self, panel: Panel) -> bool:
        """Whether a panel has a place on the screen now. Override to leave some out; call `settle` when it changes."""
        return True

    def offers(self, action: Action) -> bool:
        """Whether footer and palette should name an action now; its key still answers, by saying why not."""
        return True

    def panels(self) -> list[Panel]:
        """Panels that are wanted and can take the focus, in order."""
        return [panel for panel in self.query(Panel) if self.wants(panel) and _first_focusable(panel) is not None]

    def settle(self) -> None:
        """Show what is wanted; the focus never stays in a panel that went."""
        here = self.current_panel()
        self._place_panels(here)
        if (
            here is not None
            and self.focused is not None
            and not self.focused.is_on_screen
            and not here.has_focus_within
        ):
            self.show_panel(here)

    def current_panel(self) -> Panel | None:
        """The panel with the focus, else the one shown, else the first."""
        panels = self.panels()
        for panel in panels:
            if panel.has_focus_within:
                return panel
        return next((panel for panel in panels if panel.display), panels[0] if panels else None)

    def show_panel(self, panel: Panel) -> None:
        """Focus a panel, bringing it up when panels go one by one."""
        self._place_panels(panel)
        target = _first_focusable(panel)
        if target is not None:
            # At once, not after the messages that wait: keys typed ahead belong to the new panel.
            self.set_focus(target)

    def _focus_later(self, panel: Panel) -> None:
        """The focus of the first room, after its first layout: at once it would cost a second pass over all styles."""
        self._place_panels(panel)
        target = _first_focusable(panel)
        if target is not None:
            self.app.call_later(self._focus_unless_taken, target)

    def _focus_unless_taken(self, target: Widget) -> None:
        if self.focused is None:
            self.set_focus(target)

    def action_next_panel(self) -> None:
        """Focus the next panel."""
        self._step(1)

    def action_previous_panel(self) -> None:
        """Focus the one before."""
        self._step(-1)

    def on_mount(self) -> None:
        """Focus the panel that is worked in first."""
        self.show_context()
        panels = self.panels()
        if panels and self.focused is None:
            first = next((panel for panel in panels if panel.id == self.OPENS), panels[0])
            if self.backprop.is_up:
                self.show_panel(first)
            else:
                self._focus_later(first)
        if self.kept and self.backprop.keeper is not None:
            self.call_after_refresh(self.backprop.keeper.recall, self)

    def on_screen_resume(self) -> None:
        """Facts may have changed while another room was open."""
        self.show_context()

    def on_resize(self, event: events.Resize) -> None:
        """Another width may show panels one by one, or together again."""
        self._place_panels(self.current_panel())

    def on_header_chosen(self, message: Header.Chosen) -> None:
        """A click on a tab."""
        self.backprop.action_go(message.room)

    def on_key(self, event: events.Key) -> None:
        """Any key acknowledges what the footer says."""
        self.query_one(Footer).quiet()

    def _step(self, by: int) -> None:
        panels, here = self.panels(), self.current_panel()
        if panels and here is not None:
            self.show_panel(panels[(panels.index(here) + by) % len(panels)] if here in panels else panels[0])

    def _place_panels(self, shown: Panel | None) -> None:
        panels = list(self.query(Panel))
        ring = self.panels() if self.narrow else []
        for panel in panels:
            panel.display = self.wants(panel) and (not self.narrow or panel is shown or shown is None)
            place = f"{ring.index(panel) + 1}/{len(ring)}" if panel in ring and len(ring) > 1 else ""
            panel.label(place=place)
        for holder in {holder for panel in panels for holder in _holders(panel)}:
            holder.display = any(panel.display for panel in holder.query(Panel))


def _first_focusable(panel: Panel) -> Widget | None:
    return next((child for child in panel.query(Widget) if child.can_focus and not child.disabled), None)


def _holders(panel: Panel) -> Iterator[Widget]:
    parent = panel.parent
    while isinstance(parent, Widget) and parent.id != "body" and not isinstance(parent, Screen):
        yield parent
        parent = parent.parent
