"""The three pages: the terminal, the question for the password, and a sentence. No script of ours, nothing from elsewhere."""

from __future__ import annotations

from html import escape

#: Files of textual-serve that a browser may have, by the name it asks for, and their type.
STATIC: dict[str, tuple[str, str]] = {
    "textual.js": ("js/textual.js", "text/javascript"),
    "xterm.css": ("css/xterm.css", "text/css"),
    "mono.ttf": ("fonts/RobotoMono-VariableFont_wght.ttf", "font/ttf"),
}

_STYLE = """
@font-face { font-family: "Roboto Mono"; src: url("/static/mono.ttf"); }
html, body { margin: 0; height: 100%; background: #121417; color: #d7d7d7; font: 15px "Roboto Mono", monospace; }
body { display: flex; flex-direction: column; }
header { display: flex; gap: 1em; align-items: center; padding: 4px 10px; background: #1a1d21; }
header form { margin-left: auto; }
main { margin: 12vh auto 0; max-width: 34em; padding: 0 1em; }
button, input { font: inherit; color: inherit; background: #262a30; border: 1px solid #8f969f; padding: 4px 12px; }
button:focus, input:focus, a:focus { outline: 2px solid #5fafff; }
a { color: #5fafff; }
.textual-terminal { flex: 1; min-height: 0; overflow: hidden; }
.ended { display: none; }
body.-closed .ended { display: block; }
body.-closed .textual-terminal { display: none; }
"""


def terminal_page(socket_url: str, *, control: bool) -> str:
    """The page with the app in it.

    Args:
        socket_url: where its websocket is.
        control: whether the app may change something, for the line above it.
    """
    role = "this view can steer runs" if control else "view only"
    return _page(
        f'<header><span>backprop</span><span>{role}</span><form method="post" action="/logout">'
        '<button type="submit">Log out</button></form></header>'
        '<main class="ended"><p>This view has ended. A run goes on without it.</p><p><a href="/">Open it again</a></p></main>'
        f'<div id="terminal" class="textual-terminal" data-session-websocket-url="{escape(socket_url)}"'
        ' data-font-size="15"></div>',
        head='<link rel="stylesheet" href="/static/xterm.css"><script src="/static/textual.js"></script>',
    )


def login_page(problem: str = "") -> str:
    """The question for the password."""
    said = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return _page(
        f'<main><h1>backprop</h1>{said}<form method="post" action="/login">'
        '<label for="password">Password</label> '
        '<input id="password" name="password" type="password" autocomplete="current-password" autofocus required> '
        '<button type="submit">Open</button></form></main>'
    )


def words_page(title: str, text: str) -> str:
    """A sentence and what to do."""
    return _page(f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p></main>")


def headers(socket_origin: str) -> dict[str, str]:
    """What every answer carries: nothing from elsewhere may run, frame, sniff or remember it."""
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
            f"img-src 'self' data:; connect-src 'self' {socket_origin}; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Not `no-referrer`: with it browsers write `Origin: null` on our own forms, which is refused.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _page(body: str, head: str = "") -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>backprop</title><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style>{head}</head><body>{body}</body></html>"
    )
