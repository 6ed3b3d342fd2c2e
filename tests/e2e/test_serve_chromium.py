"""The served app in a real browser: drawn, typed into, left, and opened again; a page from elsewhere gets nothing."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import pytest

from tests.support import chromium
from tests.support.chromium import Chromium
from tests.support.runs import finished
from tests.support.serving import Serving, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(chromium.absent()), reason=chromium.absent() or "here")]

_DRAWN = "document.body.classList.contains('-first-byte')"
_CLOSED = "document.body.classList.contains('-closed')"


def test_the_app_is_drawn_and_takes_keys(tmp_path: Path) -> None:
    finished(steps=40)
    with Serving() as serving, Chromium(tmp_path / "profile") as page:
        page.open(f"{serving.url}/?token={serving.token}")
        assert page.url == f"{serving.url}/", "the token is not left in the address"
        page.wait_until(_DRAWN)
        assert page.run("return document.cookie") == "", "scripts can't read the session"
        wide = page.run(
            "const c = document.querySelector('.xterm-screen canvas'); return [c.clientWidth, c.clientHeight]"
        )
        assert wide[0] > 800
        assert wide[1] > 400
        assert page.run("return document.querySelector('header').innerText").startswith("backprop")
        before = page.picture()
        page.click(".xterm-screen")
        page.type("4")
        until(lambda: page.picture() != before)
        page.type("q")
        page.wait_until(_CLOSED)
        until(lambda: not serving.children())
        page.click(".ended a")
        page.wait_until(_DRAWN)
        page.click("header button")
        page.wait_until("document.body.innerText.includes('Logged out')")
        until(lambda: not serving.children())
        page.open(serving.url)
        assert "Not logged in" in page.run("return document.body.innerText")
        blocked = [line for line in page.log() if "Content Security Policy" in line or "fonts.googleapis" in line]
        assert not blocked, "nothing the page needs is refused, and nothing is asked from elsewhere"


def test_the_password_is_typed_into_the_page(tmp_path: Path) -> None:
    finished(steps=40)
    with Serving(env={"BACKPROP_SERVE_PASSWORD": "correct horse"}) as serving, Chromium(tmp_path / "profile") as page:
        page.open(serving.url)
        page.click("#password")
        page.type("wrong horse\ue007")
        page.wait_until("document.body.innerText.includes('That is not the password')")
        page.click("#password")
        page.type("correct horse\ue007")
        page.wait_until(_DRAWN)


def test_a_page_from_elsewhere_gets_no_socket(tmp_path: Path) -> None:
    finished(steps=40)
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "index.html").write_text("<title>evil</title><body>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as evil,
        Serving() as serving,
        Chromium(tmp_path / "profile") as page,
    ):
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        page.open(f"{serving.url}/?token={serving.token}")
        page.wait_until(_DRAWN)
        # Same host, another port: the browser sends the session's cookie along.
        page.open(f"http://127.0.0.1:{evil.server_address[1]}/")
        until(lambda: not serving.children())
        page.run(
            f"window.seen = ''; const s = new WebSocket('ws://127.0.0.1:{serving.port}/ws');"
            "s.onopen = () => { window.seen = 'open' }; s.onerror = () => { window.seen = 'error' };"
        )
        assert page.wait_until("window.seen") == "error"
        page.run(
            f"window.frame = document.createElement('iframe'); frame.src = '{serving.url}/'; document.body.append(frame);"
            f"fetch('{serving.url}/logout', {{method: 'POST', mode: 'no-cors', credentials: 'include'}}).finally("
            "() => { window.asked = true })"
        )
        page.wait_until("window.asked")
        assert not serving.children()
        page.open(serving.url)
        page.wait_until(_DRAWN)
        evil.shutdown()
