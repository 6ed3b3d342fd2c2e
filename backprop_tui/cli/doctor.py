"""`backprop doctor`: check this machine; `--reset-terminal` mends one that a crash left behind."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import add_json
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK

_SIGNS: dict[str, tuple[str, Style]] = {"ok": ("✓ ok", "good"), "warn": ("· warn", "warn"), "fail": ("✗ fail", "bad")}

#: Mouse reporting, focus events, bracketed paste, keyboard protocol and alternate screen off; attributes, cursor and wrap on.
_RESET = (
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?2048l"
    "\x1b[<u\x1b[?1049l\x1b[0m\x1b[?25h\x1b[?7h\x1b[!p\r"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--reset-terminal", action="store_true", help="switch off what a crashed program left on")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Check everything; exit 1 when something will not work."""
    if args.reset_terminal:
        _reset()
        out.say("The terminal is reset. If typing is still invisible, run `stty sane`.")
        return EXIT_OK
    from backprop_tui.hardware.doctor import examine

    checks = examine()
    if args.json:
        out.json([check.to_dict() for check in checks])
    else:
        widest = max(len(check.name) for check in checks)
        for check in checks:
            sign, style = _SIGNS[check.level]
            out.line(f"{out.style(f'{sign:<6}', style)}  {check.name:<{widest}}  {check.found}")
            if check.next_step:
                out.line(f"{'':<{widest + 10}}{check.next_step}")
    return EXIT_FAILED if any(check.level == "fail" for check in checks) else EXIT_OK


def _reset() -> None:
    stream = sys.stdout if sys.stdout.isatty() else sys.stderr
    if stream.isatty():
        stream.write(_RESET)
        stream.flush()
    if sys.stdin.isatty():
        import termios

        settings = termios.tcgetattr(sys.stdin)
        settings[0] |= termios.ICRNL | termios.BRKINT
        settings[1] |= termios.OPOST
        settings[3] |= termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN
        termios.tcsetattr(sys.stdin, termios.TCSANOW, settings)
