"""`backprop serve`: the app in a browser, on this machine only unless a password says otherwise."""

from __future__ import annotations

import asyncio
import signal
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_run
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.serve.options import Options

_MORE = """
The first line printed is a link that opens the app once; each browser needs its own. From another machine:

  ssh -L 8417:127.0.0.1:8417 HOST      then open the link in your own browser

Viewers watch; they can't change anything unless --control is given. The password is asked for, or comes from
--password-file or BACKPROP_SERVE_PASSWORD, never from the command line. docs/serve.md says more.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--control", action="store_true", help="let viewers steer runs and launch new ones")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8417, help="port to listen on (8417); 0 takes any that is free")
    parser.add_argument(
        "--idle", type=float, default=30.0, metavar="MINUTES", help="log out after this long without a key (30)"
    )
    parser.add_argument("--viewers", type=int, default=4, metavar="N", help="apps shown at once (4)")
    parser.add_argument("--password", action="store_true", help="ask for a password; browsers without the link need it")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="a file only you can read, with the password"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name browsers reach this under"
    )
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="PEM certificate: serve over https")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its key")
    parser.epilog = _MORE


def run(args: Namespace, out: Output) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from backprop_tui.hardware.extras import require

    require("serve")
    from backprop_tui.serve.options import Options, check
    from backprop_tui.serve.password import obtain
    from backprop_tui.store.layout import find_run

    options = Options(
        host=args.host, port=args.port, control=args.control, run=find_run(args.run).id if args.run else None,
        idle_s=args.idle * 60, viewers=args.viewers, allowed_hosts=tuple(args.allow_host),
        password=obtain(args.password_file, args.password), certificate=args.certificate, key=args.key,
    )  # fmt: skip
    check(options)
    asyncio.run(_serve(options, out))
    return EXIT_OK


async def _serve(options: Options, out: Output) -> None:
    from backprop_tui.serve.server import Server

    def say(text: str) -> None:
        out.say(f"{time.strftime('%H:%M:%S')}  {text}")

    server = Server(options, say)
    leaving = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    await server.start()
    try:
        out.line(server.link())
        what = "can steer runs and launch new ones" if options.control else "can only watch"
        out.say(f"Viewers {what}. Idle views end after {options.idle_s / 60:g} minutes. Ctrl-C ends this.")
        if not options.loopback and options.certificate is None:
            host = safe_text(options.host, limit=80)
            out.say(
                f"On {host} the password and all that is shown cross the network unencrypted: add --certificate and --key."
            )
        await leaving.wait()
    finally:
        await server.stop()
