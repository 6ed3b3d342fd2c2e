"""One app of one browser tab: a process of its own, without a shell, without tokens, and gone when the tab is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from backprop_tui.config.view_only import VARIABLE
from backprop_tui.protocol.text import safe_text
from backprop_tui.serve.options import Options

if TYPE_CHECKING:
    from aiohttp.web import WebSocketResponse

#: The whole command; what differs between viewers is in arguments of our own making.
COMMAND = (sys.executable, "-P", "-m", "backprop_tui.serve.child")
#: What the app needs of the environment. Tokens, proxies and editors are none of it.
_PASSED = frozenset({
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "PYTHONPATH", "PYTHONNOUSERSITE", "TEMP", "TMP", "TMPDIR", "TZ", "USER",
    "VIRTUAL_ENV", "LD_LIBRARY_PATH", "BACKPROP_DATA_DIR", "BACKPROP_CONFIG_DIR", "BACKPROP_CACHE_DIR", "BACKPROP_RUNTIME_DIR",
    "BACKPROP_THEME", "BACKPROP_PROFILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR",
})  # fmt: skip
#: Whoever may launch runs also needs what training finds the hardware and the models by.
_PASSED_WITH_CONTROL = frozenset({
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_DEVICE_ORDER", "CONDA_PREFIX", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
    "HF_ENDPOINT", "OMP_NUM_THREADS", "SSL_CERT_FILE", "SSL_CERT_DIR",
})  # fmt: skip
#: Seconds an app has to leave by itself, and after SIGTERM.
_LEAVES_WITHIN = 2.0
_DIES_WITHIN = 2.0
#: What is kept of the app's complaints, in bytes.
_WORDS_KEPT = 4096


def child_environment(environ: Mapping[str, str], *, control: bool) -> dict[str, str]:
    """The allow-listed environment of an app."""
    passed = _PASSED | _PASSED_WITH_CONTROL if control else _PASSED
    kept = {name: value for name, value in environ.items() if name in passed or name.startswith("LC_")}
    kept |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "TEXTUAL_COLOR_SYSTEM": "truecolor"}
    if not control:
        kept[VARIABLE] = "1"
    return kept


class Viewer(AppService):
    """The process of one websocket. `start`, then feed it with `send_bytes`; `stop` returns once it is gone."""

    def __init__(self, options: Options, socket: WebSocketResponse) -> None:
        super().__init__(
            "",
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=self._close_socket,
            download_manager=DownloadManager(),
        )
        self._options = options
        self._socket = socket
        self._last_words = b""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int | None:
        """The process, None before it was started."""
        return self._process.pid if self._process is not None else None

    @property
    def last_words(self) -> str:
        """The last line the app complained with, harmless; empty when it did not."""
        lines = self._last_words.decode("utf-8", "replace").strip().splitlines()
        return safe_text(lines[-1], limit=300) if lines else ""

    async def start(self, width: int, height: int) -> None:
        """Start the app at this many columns and rows."""
        arguments = ["--run", self._options.run] if self._options.run else []
        environment = child_environment(os.environ, control=self._options.control)
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, "COLUMNS": str(width), "ROWS": str(height), "LINES": str(height)},
            start_new_session=True,
        )
        self._stdin = self._process.stdin
        self._tasks = [asyncio.create_task(self._show()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """Ask the app to leave, then make it; nothing of its session is left afterwards."""
        process = self._process
        if process is None:
            return
        if self._tasks:
            # A browser that does not read holds this task, and the app behind it; what it still writes goes nowhere.
            self._tasks[0].cancel()
            self._tasks[0] = asyncio.create_task(self._discard())
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_LEAVES_WITHIN):
                await self.send_meta({"type": "quit"})
                await process.wait()
        if process.returncode is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _DIES_WITHIN)
        # Also helpers that outlived the app; an engine has a session of its own and is not among them.
        self._signal(signal.SIGKILL)
        await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if process.stdin is not None:
            process.stdin.close()

    async def on_meta(self, data: bytes) -> None:
        """Only the end of the app is heard: it opens no pages and delivers no files through the browser."""
        if b'"exit"' in data:
            await self._close_socket()

    async def on_packed(self, payload: bytes) -> None:
        """Chunks of files: there are none."""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def _show(self) -> None:
        """Hand what the app draws to the browser; close the socket when the app has gone."""
        stdout = self._stream("stdout")
        try:
            # The driver's first line says that what follows is packets.
            if await stdout.readline() == b"__GANGLION__\n":
                while True:
                    kind = await stdout.readexactly(1)
                    payload = await stdout.readexactly(int.from_bytes(await stdout.readexactly(4), "big"))
                    if kind == b"D":
                        await self.on_data(payload)
                    elif kind == b"M":
                        await self.on_meta(payload)
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError, ValueError):
            # The app or the browser has gone, or a line was no line of ours.
            pass
        await self._close_socket()

    async def _listen(self) -> None:
        """Keep the end of what the app complains of, so that a full pipe never holds it."""
        stderr = self._stream("stderr")
        while piece := await stderr.read(65536):
            self._last_words = (self._last_words + piece)[-_WORDS_KEPT:]

    async def _discard(self) -> None:
        stdout = self._stream("stdout")
        while await stdout.read(65536):
            pass

    def _stream(self, name: str) -> asyncio.StreamReader:
        stream: Any = getattr(self._process, name)
        assert isinstance(stream, asyncio.StreamReader)
        return stream

    async def _close_socket(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.close()
