"""The host's end of the local pipe: many clients, none of them ever waited for.

A client says hello (version and nonce), may subscribe from a sequence number (replayed from the journal, then live) and may
send commands. Messages to clients: `hello`, `events`, `live` (the replay has caught up), `gap` (this client read too slowly:
what lies between is on disk), `reply`, `refused` (and then the connection closes). Unknown messages are ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import os
import secrets
import socket
import struct
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from backprop_tui import __version__
from backprop_tui.config import paths
from backprop_tui.protocol.codec import FrameReader, encode_frame
from backprop_tui.protocol.commands import PROTOCOL_VERSION, Reply, ReplyStatus
from backprop_tui.protocol.errors import BackpropError, ProtocolError, TryAgainError, UsageError
from backprop_tui.protocol.events import Event
from backprop_tui.store.journal import JournalTail

MAX_CLIENTS = 32
#: Unsent bytes at which a client falls behind, and at which one that only writes is dropped.
_HIGH_WATER = 256 * 1024
_DROP_AT = 1024 * 1024
#: Journal bytes per replayed frame; well under the frame's limit even if one event is large.
_REPLAY = 64 * 1024
_RECENT = 256
_HELLO_WITHIN = 5.0
#: A Unix socket's path has at most 107 bytes on Linux and 103 on macOS.
_PATH_LIMIT = 100


class Hub(Protocol):
    """What the server needs of the host."""

    run_id: str
    journal_file: Path

    @property
    def seq(self) -> int:
        """The newest event's number."""

    def on_command(self, message: dict[str, Any]) -> Reply:
        """Journal and carry out a command, or refuse it."""


class PipeServer:
    """Listens on a fresh socket in the private runtime directory."""

    def __init__(self, hub: Hub, nonce: str) -> None:
        self.hub = hub
        self.nonce = nonce
        self.clients: set[Client] = set()
        self.recent: deque[tuple[int, bytes]] = deque(maxlen=_RECENT)
        self._server: asyncio.Server | None = None

    async def listen(self, sock: socket.socket) -> None:
        """Accept clients on a bound socket from now on."""
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: Client(self), sock=sock)

    def broadcast(self, event: Event) -> None:
        """Hand an event to every live client; a slow one is told to read the journal instead."""
        try:
            frame = encode_frame({"type": "events", "events": [event.to_record()]})
        except ProtocolError:
            frame = encode_frame({"type": "gap", "after": event.seq - 1, "upto": event.seq})
        self.recent.append((event.seq, frame))
        for client in list(self.clients):
            client.offer(event.seq, frame)

    async def close(self, linger: float) -> None:
        """Stop listening, let connected clients drain for at most `linger` seconds, and hang up."""
        if self._server is not None:
            self._server.close()
        deadline = asyncio.get_running_loop().time() + linger
        for client in list(self.clients):
            client.finish()
        for client in list(self.clients):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.closed.wait(), max(0.0, deadline - asyncio.get_running_loop().time()))
        for client in list(self.clients):
            client.drop()


class Client(asyncio.Protocol):
    """One connection. Everything happens in callbacks, so no client can hold up the loop."""

    def __init__(self, server: PipeServer) -> None:
        self._server = server
        self._reader = FrameReader()
        self._mode = "new"
        self._sent = 0
        self._paused = False
        self._same_version = True
        self._tail: JournalTail | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who it is and give it a few seconds to say hello."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER, low=0)
        if len(self._server.clients) >= MAX_CLIENTS:
            self._refuse(
                TryAgainError("TOO_MANY_CLIENTS", f"{MAX_CLIENTS} programs watch this run already.", "Close one.")
            )
            return
        if not _same_user(transport.get_extra_info("socket")):
            transport.abort()
            return
        self._server.clients.add(self)
        self._timer = asyncio.get_running_loop().call_later(_HELLO_WITHIN, self.drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._server.clients.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._close_tail()
        self._mode = "closed"
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; garbage ends this connection and nothing else."""
        try:
            for message in self._reader.feed(data):
                if self._mode != "closed":
                    self._take(message)
        except ProtocolError as error:
            self._refuse(error)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has read everything sent so far."""
        self._paused = False
        if self._mode == "behind":
            self._send({"type": "gap", "after": self._sent, "upto": self._server.hub.seq})
            self._mode, self._sent = "live", self._server.hub.seq
        elif self._mode == "replay":
            self._replay()

    def offer(self, seq: int, frame: bytes) -> None:
        """Send a live event, or note that this client has to catch up."""
        if self._mode != "live":
            return
        if self._paused:
            self._mode = "behind"
            return
        self._sent = seq
        self._transport.write(frame)

    def finish(self) -> None:
        """Hang up once everything is sent; a client that has to catch up is told where from."""
        if self._mode == "behind" and not self._paused:
            self.resume_writing()
        self._mode = "closed"
        self._transport.close()

    def drop(self) -> None:
        """Hang up now."""
        self._mode = "closed"
        self._transport.abort()

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if self._mode == "new":
            self._hello(message)
        elif kind == "subscribe":
            after = message.get("after", 0)
            self._subscribe(after if isinstance(after, int) and after >= 0 else 0)
        elif kind == "command":
            self._command(message)

    def _hello(self, message: dict[str, Any]) -> None:
        nonce = message.get("nonce")
        known = isinstance(nonce, str) and nonce.isascii() and hmac.compare_digest(nonce, self._server.nonce)
        if message.get("type") != "hello" or not known:
            self._refuse(
                UsageError("HELLO_REFUSED", "The client did not show this engine's nonce.", "Read engine.json.")
            )
            return
        assert self._timer is not None
        self._timer.cancel()
        self._mode = "idle"
        self._same_version = message.get("protocol") == PROTOCOL_VERSION
        hub = self._server.hub
        self._send(
            {
                "type": "hello",
                "protocol": PROTOCOL_VERSION,
                "version": __version__,
                "run": hub.run_id,
                "pid": os.getpid(),
                "seq": hub.seq,
            }
        )

    def _subscribe(self, after: int) -> None:
        self._close_tail()
        hub, recent = self._server.hub, self._server.recent
        if after >= hub.seq or (recent and recent[0][0] <= after + 1):
            for seq, frame in recent:
                if seq > after:
                    self._transport.write(frame)
            self._caught_up()
            return
        self._mode = "replay"
        self._tail = JournalTail(hub.journal_file, after=after)
        self._replay()

    def _replay(self) -> None:
        if self._mode != "replay" or self._tail is None or self._paused:
            return
        events = self._tail.poll(_REPLAY)
        if not events:
            self._close_tail()
            self._caught_up()
            return
        self._send_events(events)
        # One piece at a time: a long replay must not hold up the worker's events.
        asyncio.get_running_loop().call_soon(self._replay)

    def _send_events(self, events: list[Event]) -> None:
        try:
            self._send({"type": "events", "events": [event.to_record() for event in events]})
        except ProtocolError:
            half = len(events) // 2
            if half:
                self._send_events(events[:half])
                self._send_events(events[half:])
            else:
                self._send({"type": "gap", "after": events[0].seq - 1, "upto": events[0].seq})

    def _caught_up(self) -> None:
        self._mode, self._sent = "live", self._server.hub.seq
        self._send({"type": "live", "seq": self._sent})

    def _command(self, message: dict[str, Any]) -> None:
        if self._same_version:
            reply = self._server.hub.on_command(message)
        else:
            identity = str(message.get("id", ""))[:64]
            reply = Reply(
                identity,
                ReplyStatus.REFUSED,
                "PROTOCOL_VERSION",
                f"The engine of this run is of version {__version__}; this client may only watch.",
                "Use the same version for both.",
            )
        self._send(reply.to_message())

    def _refuse(self, error: BackpropError) -> None:
        self._send({"type": "refused", **error.to_dict()})
        self._mode = "closed"
        self._transport.close()

    def _send(self, message: dict[str, Any]) -> None:
        if self._transport.get_write_buffer_size() > _DROP_AT:
            self.drop()
            return
        self._transport.write(encode_frame(message))

    def _close_tail(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None


def bind_socket(short_id: str) -> socket.socket:
    """A bound Unix socket `<short id>-<4 hex>.s`, for this user only.

    Raises:
        UnavailableError: no directory for it is safe.
        OSError: it can't be made.
    """
    place = paths.runtime_dir()
    while True:
        name = f"{short_id}-{secrets.token_hex(2)}.s"
        path = place / name
        if len(os.fsencode(path)) > _PATH_LIMIT:
            # A deep XDG_RUNTIME_DIR or home: sockets have short paths only.
            place = paths.private_dir(
                Path("/tmp") / f"backprop-{os.getuid()}",
                "RUNTIME_DIR_UNSAFE",
                "Set BACKPROP_RUNTIME_DIR to a short path of your own.",
            )
            path = place / name
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise
        sock.setblocking(False)
        return sock


def _same_user(sock: socket.socket) -> bool:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return bool(uid == os.getuid())
