"""The full-screen application. Importing this package costs nothing; `run_app` loads Textual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backprop_tui.app.state import SavedState
    from backprop_tui.store.layout import RunDir


def run_app(screen: str | None = None, run: RunDir | None = None, **preferences: Any) -> int:
    """Open the app and return its exit code when the person leaves.

    Args:
        screen: data, tune, run or runs; None is where the person left, else data.
        run: the run to show; None is the one that was open, else the newest.
        preferences: theme, profile or ascii given on the command line; they win over settings and environment. `fresh`
            forgets where the person left, `replay` plays `run` at that speed.

    Raises:
        UnavailableError: this is not a terminal that can show a full screen.
    """
    import gc
    import os
    import sys

    from backprop_tui.app import terminal
    from backprop_tui.protocol.errors import UnavailableError

    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UnavailableError(
            "TERMINAL_NONE", "The app needs a terminal.", "Use `backprop watch`, or `backprop runs`."
        )
    fresh, replay = bool(preferences.pop("fresh", False)), preferences.pop("replay", None)
    given = {key: value for key, value in preferences.items() if value is not None}
    decided = terminal.examine(os.environ, {**terminal.read_preferences(os.environ), **given})
    terminal.prepare(decided)

    # Nothing made while starting is garbage; looking for it takes a tenth of the time to the first paint.
    gc.disable()
    try:
        from backprop_tui.app.app import BackpropApp
        from backprop_tui.app.driver import driver_for

        saved = _saved(fresh or not decided.restore)
        if run is None and saved is not None and saved.run and screen in (None, "run"):
            run = _run_at(saved.run)
        room = screen or (saved.room if saved is not None else "") or "data"
        app = BackpropApp(room, run, decided, driver_for(decided.profile.motion, decided.ascii), saved)
        if replay is not None and run is not None:
            app.played = (run, float(replay))
        app.run(mouse=decided.mouse)
    finally:
        gc.enable()
        if (remote := sys.modules.get("backprop_tui.data.children.remote")) is not None:
            # Whoever leaves does not wait for the end of a scan.
            remote.close_shared()
    return app.return_code or 0


def _saved(fresh: bool) -> SavedState | None:
    """Where the person left; nothing is remembered of an app that is shown to others."""
    from backprop_tui.app.state import SavedState, read_state
    from backprop_tui.config.view_only import view_only

    if view_only():
        return None
    return SavedState() if fresh else read_state()


def _run_at(place: str) -> RunDir | None:
    """The run in a directory, unless it is gone."""
    from pathlib import Path

    from backprop_tui.store.layout import RunDir

    run = RunDir(Path(place))
    return run if run.spec_file.is_file() or run.journal_file.is_file() else None
