"""The client's end of the local pipe: an asyncio stream of messages, and one blocking function to send a command."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from backprop_tui import __version__
from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.codec import FrameReader, encode_frame
from backprop_tui.protocol.commands import PROTOCOL_VERSION, Command, Reply, ReplyStatus
from backprop_tui.protocol.errors import BackpropError, ProtocolError, TryAgainError, error_from_dict
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir
from backprop_tui.store.locks import Identity

if TYPE_CHECKING:
    import asyncio

_READ = 1 << 16
_ANSWER_WITHIN = 5.0
#: What to do about an engine that gave no answer.
_AGAIN = "Try again in a moment."


class PipeClient:
    """One connection to a run's engine. Not reading is allowed: the engine then says `gap` and the journal has the rest.

    Attributes:
        hello: the engine's greeting: protocol, version, run, pid, seq.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: dict[str, Any], frames: FrameReader
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = frames
        self._early: list[dict[str, Any]] = []
        self.hello = hello

    @classmethod
    async def connect(cls, run: RunDir, timeout: float = _ANSWER_WITHIN) -> PipeClient:
        """Open the pipe and say hello.

        Raises:
            TryAgainError: ENGINE_ABSENT, nobody listens, or ENGINE_SILENT.
            BackpropError: the engine's refusal.
        """
        import asyncio

        identity = _identity(run)
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_unix_connection(identity.socket)
                client = cls(reader, writer, {}, FrameReader())
                try:
                    client._write(_hello(identity))
                    messages = await client._next()
                    if not messages:
                        raise ConnectionError
                    client.hello = _greeting(messages[0])
                    client._early = messages[1:]
                except BaseException:
                    writer.close()
                    raise
                return client
        except TimeoutError:
            raise _silent(run) from None
        except OSError:
            raise _absent(run) from None

    def subscribe(self, after: int = 0) -> None:
        """Ask for every event with a seq above `after`, from the journal and then live."""
        self._write({"type": "subscribe", "after": after})

    async def messages(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Messages in the groups they arrive in, until the engine hangs up or sends what is not our protocol."""
        if self._early:
            early, self._early = self._early, []
            yield early
        while messages := await self._next():
            yield messages

    async def command(self, command: Command, timeout: float = _ANSWER_WITHIN) -> Reply:
        """Send a command on this connection and wait for its answer; other messages read meanwhile are dropped.

        Raises:
            TryAgainError: no answer in time, or the engine hung up.
        """
        import asyncio

        refuse_if_view_only()
        self._write(command.to_message())
        try:
            async with asyncio.timeout(timeout):
                async for messages in self.messages():
                    for message in messages:
                        if message.get("type") == "reply" and message.get("id") == command.id:
                            return Reply.from_message(message)
        except TimeoutError:
            raise TryAgainError("ENGINE_SILENT", f"The engine did not answer within {timeout:.0f} s.", _AGAIN) from None
        raise TryAgainError("ENGINE_ABSENT", "The engine hung up before it answered.", _AGAIN)

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _write(self, message: dict[str, Any]) -> None:
        self._writer.write(encode_frame(message))

    async def _next(self) -> list[dict[str, Any]]:
        while True:
            try:
                data = await self._reader.read(_READ)
            except OSError:
                return []
            if not data:
                return []
            try:
                messages = self._frames.feed(data)
            except ProtocolError:
                self._writer.close()
                return []
            if messages:
                return messages


def send_command(run: RunDir, command: Command, timeout: float = _ANSWER_WITHIN) -> Reply:
    """Send one command from synchronous code and wait for the answer.

    A connection that breaks is tried again with the same id, so the command still takes effect at most once; a duplicate
    of our own is then reported as accepted.

    Returns:
        The answer; a run without an engine is a refusal with code RUN_NOT_LIVE.

    Raises:
        TryAgainError: the engine is there and does not answer in time.
    """
    refuse_if_view_only()
    deadline = time.monotonic() + timeout
    sent = False
    while True:
        try:
            reply = _converse(_identity(run), command, deadline)
        except TimeoutError:
            raise _silent(run) from None
        except BackpropError as error:
            if error.code != "ENGINE_ABSENT":
                raise
            reply = None
        except OSError:
            reply = None
        if reply is not None:
            ours = sent and reply.status is ReplyStatus.DUPLICATE
            return Reply(reply.id, ReplyStatus.ACCEPTED) if ours else reply
        if not locks.is_held(run.lock_file):
            return Reply(
                command.id,
                ReplyStatus.REFUSED,
                "RUN_NOT_LIVE",
                f"Run {run.short_id} is not running.",
                f"`backprop resume {run.short_id}` goes on from its newest checkpoint.",
            )
        if time.monotonic() > deadline:
            raise _silent(run)
        sent = True
        time.sleep(0.05)


def _converse(identity: Identity, command: Command, deadline: float) -> Reply | None:
    """One attempt; None when the engine hung up before it answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        sock.connect(identity.socket)
        sock.sendall(encode_frame(_hello(identity)) + encode_frame(command.to_message()))
        frames = FrameReader()
        while True:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            data = sock.recv(_READ)
            if not data:
                return None
            for message in frames.feed(data):
                if message.get("type") == "refused":
                    _greeting(message)
                if message.get("type") == "reply" and message.get("id") == command.id:
                    return Reply.from_message(message)


def _hello(identity: Identity) -> dict[str, Any]:
    return {"type": "hello", "protocol": PROTOCOL_VERSION, "version": __version__, "nonce": identity.nonce}


def _greeting(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("type") == "refused":
        raise error_from_dict(message, TryAgainError.exit_code)
    if message.get("type") != "hello":
        raise ProtocolError("HELLO_EXPECTED", "The engine did not say hello.")
    return message


def _identity(run: RunDir) -> Identity:
    identity = Identity.read(run.identity_file)
    if identity is None or not identity.socket or not locks.is_alive(identity):
        raise _absent(run)
    return identity


def _absent(run: RunDir) -> TryAgainError:
    return TryAgainError("ENGINE_ABSENT", f"No engine answers for run {run.short_id}.", _AGAIN)


def _silent(run: RunDir) -> TryAgainError:
    return TryAgainError("ENGINE_SILENT", f"The engine of run {run.short_id} does not answer.", _AGAIN)
