"""The app of one browser tab, spoken to through pipes: `python -m backprop_tui.serve.child [--run ID]`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace


def main(argv: list[str]) -> int:
    """Show the app until the browser or the person leaves; returns its exit code."""
    from backprop_tui.app import terminal
    from backprop_tui.store.layout import find_run, list_runs

    preferences = terminal.read_preferences(os.environ)
    if preferences.get("profile", "auto") == "auto":
        # A browser is as far away as a remote terminal.
        preferences["profile"] = "ssh"
    # A page is often looked at while another has the keyboard.
    decided = replace(terminal.examine(os.environ, preferences), hold=False, restore=False)
    terminal.prepare(decided)
    run = find_run(argv[1]) if argv[:1] == ["--run"] else next(iter(list_runs()), None)

    from backprop_tui.app.app import BackpropApp
    from backprop_tui.serve.driver import PipeDriver

    app = BackpropApp("run", run, decided, PipeDriver)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
