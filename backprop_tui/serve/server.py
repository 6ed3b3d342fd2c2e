"""The web server: four pages, a few files and the websocket, behind a gate that asks for Host, Origin and session."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from aiohttp import WSMsgType, web

from backprop_tui.protocol.text import safe_text
from backprop_tui.serve import pages
from backprop_tui.serve.access import Access
from backprop_tui.serve.listening import bound, tls_context
from backprop_tui.serve.options import Options
from backprop_tui.serve.password import Patience
from backprop_tui.serve.viewer import Viewer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Say = Callable[[str], None]

#: Largest thing a browser may send at once: a paste.
_LARGEST = 1 << 18
#: Guesses hashed at the same time, each of 64 MiB.
_HASHES = 2
_SMALLEST, _MOST_COLUMNS, _MOST_ROWS = 1, 500, 300


class Server:
    """One listening address.

    Args:
        options: checked by `options.check`.
        say: takes one harmless line about what happened.
    """

    def __init__(self, options: Options, say: Say) -> None:
        self.options = options
        self.access = Access(options.idle_s)
        self.port = options.port
        self._say = say
        self._patience = Patience()
        self._hashing = asyncio.Semaphore(_HASHES)
        self._viewers = 0
        self._open: dict[web.WebSocketResponse, str] = {}
        self._hosts: frozenset[str] = frozenset()
        self._runner: web.AppRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: SERVE_PORT_TAKEN, or SERVE_CERTIFICATE_UNUSABLE.
        """
        context = tls_context(self.options)
        app = web.Application(middlewares=[self._gate], client_max_size=_LARGEST)
        app.add_routes([
            web.get("/", self._index),
            web.get("/login", self._login_form),
            web.post("/login", self._login),
            web.post("/logout", self._logout),
            web.get("/ws", self._websocket),
            web.get("/static/{name}", self._static),
        ])  # fmt: skip
        app.on_shutdown.append(self._close_all)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=8.0)
        await self._runner.setup()
        listening = bound(self.options)
        self.port = listening.getsockname()[1]
        self._hosts = self.options.hosts(self.port)
        await web.SockSite(self._runner, listening, ssl_context=context).start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Close every view, wait for their processes, stop listening."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def link(self) -> str:
        """An address that opens the app once."""
        return f"{self.options.url(self.port)}/?token={self.access.link()}"

    async def _sweep(self) -> None:
        """End views whose session was idle too long."""
        while True:
            await asyncio.sleep(min(5.0, self.options.idle_s / 4))
            self.access.sweep()
            for view, session in list(self._open.items()):
                if not self.access.knows(session):
                    self._say("a view was idle too long and was closed")
                    await _close(view)

    async def _close_all(self, _: web.Application) -> None:
        await asyncio.gather(*(_close(view) for view in list(self._open)))

    # -- who may come in ----------------------------------------------------------------------------------------------

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for Host and Origin, add the headers, and let no exception out."""
        try:
            answer = self._refused(request) or await handler(request)
        except web.HTTPException as failure:
            answer = self._words(failure.status, failure.reason, "There is nothing here.")
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            # The kind only: values may hold what a viewer typed.
            self._say(f"a request failed: {type(error).__name__}")
            answer = self._words(500, "That failed", "Try again; a run is not touched by this.")
        if not answer.prepared:
            host = request.headers.get("Host", "") if request.headers.get("Host", "").lower() in self._hosts else ""
            scheme = "wss" if self.options.certificate else "ws"
            answer.headers.update(pages.headers(f"{scheme}://{host}" if host else ""))
        return answer

    def _refused(self, request: web.Request) -> web.Response | None:
        hosts = request.headers.getall("Host", [])
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if host not in self._hosts:
            self._say(f"refused: asked for as {safe_text(', '.join(hosts), limit=80)!r}, from {_address(request)}")
            return self._words(421, "Not this name", "backprop serve is not reached under this name; see --allow-host.")
        origins = request.headers.getall("Origin", [])
        must = request.method != "GET" or request.path == "/ws"
        if (must or origins) and [origin.lower() for origin in origins] != [f"{self.options.scheme}://{host}"]:
            self._say(f"refused: from page {safe_text(', '.join(origins) or 'none', limit=80)!r}, {_address(request)}")
            return self._words(403, "Not from there", "Another page asked for this.")
        return None

    def _session(self, request: web.Request) -> str | None:
        secret = request.cookies.get(self._cookie, "")
        return secret if secret and self.access.knows(secret) else None

    @property
    def _cookie(self) -> str:
        # Browsers send a cookie to every port of a host; the name keeps two servers apart.
        return f"__Host-backprop-{self.port}" if self.options.certificate else f"backprop-{self.port}"

    def _entered(self, secret: str) -> web.Response:
        """To the app, without the token in the address, with the session in a cookie."""
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            self._cookie,
            secret,
            httponly=True,
            samesite="Strict",
            path="/",
            secure=self.options.certificate is not None,
        )
        return answer

    # -- pages --------------------------------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.StreamResponse:
        token = request.query.get("token")
        if token is not None:
            secret = self.access.redeem(token)
            if secret is None:
                self._say(f"refused: a link that was used or never given, from {_address(request)}")
                return self._words(
                    401, "This link was used", "Each link works once; the newest is where backprop serve runs."
                )
            self._say(f"somebody came in by the link, from {_address(request)}")
            self._say(f"for another browser: {self.link()}")
            return self._entered(secret)
        session = self._session(request)
        if session is None:
            if self.options.password is not None:
                return web.Response(status=303, headers={"Location": "/login"})
            return self._words(401, "Not logged in", "Open the link that backprop serve has printed.")
        self.access.use(session)
        scheme = "wss" if self.options.certificate else "ws"
        url = f"{scheme}://{request.headers['Host']}/ws"
        return _html(pages.terminal_page(url, control=self.options.control))

    async def _login_form(self, request: web.Request) -> web.StreamResponse:
        if self.options.password is None:
            raise web.HTTPNotFound
        return _html(pages.login_page())

    async def _login(self, request: web.Request) -> web.StreamResponse:
        password, address = self.options.password, _address(request)
        if password is None:
            raise web.HTTPNotFound
        wait = self._patience.wait(address)
        if wait > 0:
            return self._wait(wait)
        given = (await request.post()).get("password")
        # Counted before it is looked at, so that guesses sent side by side are counted too.
        self._patience.failed(address)
        async with self._hashing:
            right = isinstance(given, str) and await asyncio.to_thread(password.matches, given)
        if not right:
            self._say(f"a wrong password, from {address}")
            return _html(pages.login_page("That is not the password."), 401)
        self._patience.right(address)
        self._say(f"somebody came in by the password, from {address}")
        return self._entered(self.access.open())

    def _wait(self, seconds: float) -> web.Response:
        answer = _html(pages.login_page(f"Too many wrong passwords. Wait {seconds:.0f} seconds."), 429)
        answer.headers["Retry-After"] = str(max(1, round(seconds)))
        return answer

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        if session is not None:
            self.access.end(session)
            await asyncio.gather(*(_close(view) for view, owner in list(self._open.items()) if owner == session))
            self._say(f"somebody logged out, from {_address(request)}")
        answer = self._words(200, "Logged out", "Your views are closed. A run goes on without them.")
        answer.del_cookie(self._cookie, path="/")
        return answer

    async def _static(self, request: web.Request) -> web.StreamResponse:
        found = pages.STATIC.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        content = files("textual_serve").joinpath("static", found[0]).read_bytes()
        return web.Response(body=content, content_type=found[1])

    def _words(self, status: int, title: str, text: str) -> web.Response:
        return _html(pages.words_page(title, text), status)

    # -- the app ------------------------------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        if session is None:
            return self._words(401, "Not logged in", "Open the link that backprop serve has printed.")
        if self._viewers >= self.options.viewers:
            self._say(f"refused: {self.options.viewers} views are open already (--viewers)")
            return self._words(503, "Too many views", "Close one of the others first.")
        # Counted before anything is awaited: a hundred sockets opened at once are still a hundred.
        self._viewers += 1
        view = web.WebSocketResponse(heartbeat=15, max_msg_size=_LARGEST)
        viewer = Viewer(self.options, view)
        try:
            await view.prepare(request)
            self._open[view] = session
            await viewer.start(
                _within(request.query.get("width"), 80, _MOST_COLUMNS),
                _within(request.query.get("height"), 24, _MOST_ROWS),
            )
            async for message in view:
                if message.type is not WSMsgType.TEXT or not await self._take(message.data, viewer, view, session):
                    break
        finally:
            self._open.pop(view, None)
            # Shielded: a server that stops must still see its children gone.
            await asyncio.shield(asyncio.ensure_future(self._end(viewer, view)))
        return view

    async def _end(self, viewer: Viewer, view: web.WebSocketResponse) -> None:
        try:
            await viewer.stop()
            if viewer.last_words:
                self._say(f"a view said: {viewer.last_words}")
            await _close(view)
        finally:
            self._viewers -= 1

    async def _take(self, text: str, viewer: Viewer, view: web.WebSocketResponse, session: str) -> bool:
        """One message of the browser; False ends the view."""
        if not self.access.knows(session):
            return False
        try:
            words: Any = json.loads(text)
        except ValueError:
            return False
        match words:
            case ["stdin", str(keys)]:
                self.access.use(session)
                return await viewer.send_bytes(keys.encode("utf-8", "replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                width, height = _within(width, 80, _MOST_COLUMNS), _within(height, 24, _MOST_ROWS)
                await viewer.set_terminal_size(width, height)
            case ["ping", str(mark)]:
                with contextlib.suppress(ConnectionError):
                    await view.send_json(["pong", mark[:40]])
            case ["focus"]:
                await viewer.focus()
            case ["blur"]:
                await viewer.blur()
            case _:
                return False
        return True


async def _close(view: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
        await asyncio.wait_for(view.close(), 2.0)


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(text=page, status=status, content_type="text/html")


def _within(value: object, usual: int, most: int) -> int:
    try:
        return min(most, max(_SMALLEST, int(str(value))))
    except ValueError:
        return usual


def _address(request: web.Request) -> str:
    return safe_text(request.remote or "?", limit=60)
