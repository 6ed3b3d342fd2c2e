"""The child's side: `python -m backprop_tui.data.children` answers requests from standard input until it closes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from backprop_tui.data.children import wire
from backprop_tui.data.formats.conversation import Normalised
from backprop_tui.data.looking.look import look_at_lines
from backprop_tui.data.rendering import limits
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.data.rendering.encoded import EncodedRow, Measure
from backprop_tui.protocol.errors import DataError


class Server:
    """Answers one request at a time."""

    def __init__(self) -> None:
        self._tokenizer: ChatTokenizer | None = None

    def answer(self, request: wire.Request) -> wire.Reply:
        """Do what is asked.

        Raises:
            DataError: the whole request failed.
        """
        if isinstance(request, wire.Load):
            return self._load(Path(os.fsdecode(request.model)))
        if isinstance(request, wire.Look):
            measure = None
            if request.tokens:
                tokenizer, how = self._loaded(), request.how

                def measure(rows: Sequence[Normalised]) -> list[Measure | DataError]:
                    return tokenizer.measure_many(rows, max_length=how.max_length, train_on=how.train_on)

            return wire.Looked(
                look_at_lines(Path(os.fsdecode(request.path)), request.start, request.end, request.how, measure)
            )
        return self._render(request, self._loaded())

    def _render(
        self, request: wire.Check | wire.Encode | wire.Count | wire.Explain | wire.Ask, tokenizer: ChatTokenizer
    ) -> wire.Reply:
        if isinstance(request, wire.Encode):
            rows = tokenizer.encode_many(
                request.rows, max_length=request.max_length, train_on=request.train_on, given=request.given
            )
            return wire.Encoded(
                [wire.Tokens.of(row) if isinstance(row, EncodedRow) else wire.Failed.of(row) for row in rows]
            )
        if isinstance(request, wire.Count):
            sizes = tokenizer.measure_many(request.rows, max_length=request.max_length, train_on=request.train_on)
            return wire.Counted(
                [
                    (size.tokens, size.trained, size.cut, size.quoted)
                    if isinstance(size, Measure)
                    else wire.Failed.of(size)
                    for size in sizes
                ]
            )
        with limits.batch_time():
            if isinstance(request, wire.Explain):
                shown = tokenizer.explain(request.row, max_length=request.max_length, train_on=request.train_on)
                pieces = [(piece.text, piece.kind) for piece in shown.pieces]
                return wire.Explained(wire.Tokens.of(shown.encoded), pieces, list(shown.ends))
            if isinstance(request, wire.Ask):
                return wire.Ids(tokenizer.encode_prompt(request.messages, request.tools))
            tokenizer.check()
            return wire.Done()

    def _load(self, model: Path) -> wire.Loaded:
        # Compiling a template already computes its constants.
        with limits.batch_time():
            tokenizer = self._tokenizer = ChatTokenizer.load(model)
            return wire.Loaded(
                tokenizer.has_template,
                tokenizer.closes_answers,
                tokenizer.template_source,
                list(tokenizer.stop_ids),
            )

    def _loaded(self) -> ChatTokenizer:
        if self._tokenizer is None:
            raise DataError("MODEL_NOT_LOADED", "No tokenizer has been loaded.", "Load one first.")
        return self._tokenizer


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the other side is gone."""
    server = Server()
    while (request := wire.receive_request(requests)) is not None:
        reply: wire.Reply
        try:
            reply = server.answer(request)
        except DataError as error:
            reply = wire.Failed.of(error)
        except MemoryError:
            reply = wire.Failed.of(limits.too_large())
        wire.send_reply(replies, reply)


def main() -> None:
    """Serve on the standard streams; whatever a library prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limits.arm()
    try:
        serve(sys.stdin.buffer, replies)
    except BrokenPipeError:
        # Whoever asked is gone; nobody is left to tell.
        os._exit(0)


if __name__ == "__main__":
    main()
