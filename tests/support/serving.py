"""A real `backprop serve` in a process of its own, and a browser's side of it over real sockets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import psutil
import pyte

from tests.support.terminal import BACKPROP


class Serving:
    """The command; `url` and `token` come from the link it prints.

    Attributes:
        said: lines it wrote to stderr so far.
    """

    def __init__(self, *argv: str, env: Mapping[str, str] | None = None) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [BACKPROP, "serve", "--port", "0", *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"it never listened: {self.process.communicate()}")
        found = re.fullmatch(r"(https?://(.*:(\d+)))/\?token=([\w-]+)\n", line)
        assert found is not None, line
        self.url, self.host, self.port, self.token = found[1], found[2], int(found[3]), found[4]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
        assert not self.children(), "processes are left behind"

    def children(self) -> list[psutil.Process]:
        """Processes of the views, and theirs: found by their command line, also when their parent has gone."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            with contextlib.suppress(psutil.Error):
                command = process.info["cmdline"] or []
                environment = process.info["environ"] or {}
                if (
                    "backprop_tui.serve.child" in command
                    and environment.get("BACKPROP_DATA_DIR") == os.environ["BACKPROP_DATA_DIR"]
                ):
                    found.append(process)
        return found

    def link(self) -> str:
        """The newest link it gave out."""
        links = [line for line in self.said if "?token=" in line]
        return links[-1].split("?token=")[1].strip() if links else self.token


def until(what: Callable[[], Any], timeout: float = 30.0) -> Any:
    """What `what` gives once it is true."""
    deadline = time.monotonic() + timeout
    while not (value := what()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return value


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies, also those of an address."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        yield client


async def enter(client: aiohttp.ClientSession, serving: Serving) -> None:
    """Come in by the newest link."""
    async with client.get(f"{serving.url}/?token={serving.link()}") as answer:
        assert answer.status == 200, await answer.text()


class View:
    """An open websocket, and what its app has drawn."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, columns: int, rows: int) -> None:
        self.socket = socket
        self.raw = bytearray()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    async def wait_for(self, pattern: str, timeout: float = 40.0) -> str:
        """The screen once it shows a text; fails with the screen when it never does."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            try:
                message = await self.socket.receive(timeout=max(0.01, left))
            except TimeoutError:
                raise AssertionError(f"never saw {pattern!r}; the screen was:\n{self.text}") from None
            if message.type is aiohttp.WSMsgType.BINARY:
                self.raw += message.data
                self._stream.feed(message.data)
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                raise AssertionError(f"closed before {pattern!r}; the screen was:\n{self.text}")
        return self.text

    async def wait_closed(self, timeout: float = 30.0) -> None:
        """Return once the other side has closed."""
        deadline = time.monotonic() + timeout
        while True:
            message = await self.socket.receive(timeout=max(0.01, deadline - time.monotonic()))
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return

    async def type(self, keys: str) -> None:
        """Type."""
        await self.socket.send_json(["stdin", keys])


@contextlib.asynccontextmanager
async def viewing(
    client: aiohttp.ClientSession, serving: Serving, columns: int = 120, rows: int = 40
) -> AsyncIterator[View]:
    """A view of the app, as the page opens it."""
    url = f"{serving.url}/ws?width={columns}&height={rows}"
    async with client.ws_connect(url, headers={"Origin": serving.url}) as socket:
        yield View(socket, columns, rows)


def lines_of(serving: Serving) -> Iterator[str]:
    """What it said, without the times."""
    return (line.partition("  ")[2].strip() for line in serving.said)
