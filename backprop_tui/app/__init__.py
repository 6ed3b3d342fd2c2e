"""The full-screen application. Importing this package costs nothing; `run_app` loads Textual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backprop_tui.store.layout import RunDir


def run_app(screen: str = "data", run: RunDir | None = None, **preferences: Any) -> int:
    """Open the app and return its exit code when the person leaves.

    Args:
        screen: data, tune, run or runs.
        run: the run to show.
        preferences: theme, profile or ascii given on the command line; they win over settings and environment.

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
    given = {key: value for key, value in preferences.items() if value is not None}
    decided = terminal.examine(os.environ, {**terminal.read_preferences(os.environ), **given})
    terminal.prepare(decided)

    # Nothing made while starting is garbage; looking for it takes a tenth of the time to the first paint.
    gc.disable()
    try:
        from backprop_tui.app.app import BackpropApp
        from backprop_tui.app.driver import driver_for

        app = BackpropApp(screen, run, decided, driver_for(decided.profile.motion))
        app.run()
    finally:
        gc.enable()
        if (remote := sys.modules.get("backprop_tui.data.children.remote")) is not None:
            # Whoever leaves does not wait for the end of a scan.
            remote.close_shared()
    return app.return_code or 0
