"""A model's tokenizer and template at work in child processes: what everybody outside `data` uses.

Templates are programs, and somebody else's; here they run under limits of time and memory, on as many cores as asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

from backprop_tui.data.children import wire
from backprop_tui.data.children.crew import MOST, Crew, cores
from backprop_tui.data.formats.conversation import Message, Normalised
from backprop_tui.data.rendering.encoded import EncodedRow, Measure, Rendered
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError

TrainOn = Literal["answers", "everything"]
#: Rows of one question; fewer don't keep a child busy, more keep the others waiting.
_ROWS = 256


class RemoteTokenizer:
    """The rendering, masking and counting of `ChatTokenizer`, done by children. Safe to share between threads.

    Args:
        model_dir: a checked model directory. size: children at most; 0 is one a core.

    Raises:
        DataError: the tokenizer or the template can't be used.
    """

    def __init__(self, model_dir: Path, *, size: int = 1) -> None:
        self.model_dir = model_dir
        self.crew = Crew(min(MOST, size or cores()), model_dir)
        try:
            self._loaded = self.crew.load()
        except BaseException:
            self.crew.close()
            raise

    def __enter__(self) -> RemoteTokenizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the children."""
        self.crew.close()

    @property
    def has_template(self) -> bool:
        """Whether conversations can be rendered."""
        return self._loaded.has_template

    @property
    def closes_answers(self) -> bool:
        """Whether the template ends an answer with a control token, from which the model learns to stop."""
        return self._loaded.closes_answers

    @property
    def template_source(self) -> str:
        """The Jinja text, empty without a template."""
        return self._loaded.template

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end an answer."""
        return tuple(self._loaded.stop_ids)

    def check(self) -> None:
        """Try the template on a question and an answer.

        Raises:
            DataError: as `ChatTokenizer.check`.
        """
        self.crew.ask(wire.Check())

    def encode_many(
        self,
        rows: Sequence[tuple[int, Normalised]],
        *,
        max_length: int | None,
        train_on: TrainOn,
        given: Sequence[int] = (),
    ) -> list[EncodedRow | DataError]:
        """Tokenise (index, row) pairs; a row that can't be used gives its error.

        `given` says of each row how many answers belong to its prompt; without it none do.

        Raises:
            DataError: the template hangs or grows without end.
        """
        found: list[EncodedRow | DataError] = []
        good = [place for place, (_, row) in enumerate(rows) if wire.can_travel(row)]
        questions = (
            wire.Encode(
                [rows[place] for place in some], max_length, train_on, [given[place] for place in some] if given else []
            )
            for some in (good[at : at + _ROWS] for at in range(0, len(good), _ROWS))
        )
        for reply in self.crew.map(questions):
            assert isinstance(reply, wire.Encoded)
            found += [entry.error() if isinstance(entry, wire.Failed) else entry.row() for entry in reply.rows]
        return _with_gaps([row for _, row in rows], found)

    def measure_many(
        self, rows: Sequence[Normalised], *, max_length: int | None, train_on: TrainOn
    ) -> list[Measure | DataError]:
        """Count the tokens of rows; a row that can't be used gives its error.

        Raises:
            DataError: the template hangs or grows without end.
        """
        found: list[Measure | DataError] = []
        good = [row for row in rows if wire.can_travel(row)]
        questions = (wire.Count(good[at : at + _ROWS], max_length, train_on) for at in range(0, len(good), _ROWS))
        for reply in self.crew.map(questions):
            assert isinstance(reply, wire.Counted)
            found += map(wire.measure_of, reply.rows)
        return _with_gaps(rows, found)

    def explain(self, row: Normalised, *, max_length: int | None, train_on: TrainOn = "answers") -> Rendered:
        """One row as the model reads it, cut into learnt, masked and left-out pieces.

        Raises:
            DataError: as `ChatTokenizer.explain`.
        """
        if not wire.can_travel(row):
            raise _unreadable()
        reply = self.crew.ask(wire.Explain(row, max_length, train_on))
        assert isinstance(reply, wire.Explained)
        return reply.rendered()

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> list[int]:
        """Token ids of the turns, with the tools that may be called, and the generation prompt.

        Raises:
            DataError: no template, or it refuses the roles.
        """
        reply = self.crew.ask(wire.Ask(list(messages), list(tools)))
        assert isinstance(reply, wire.Ids)
        return reply.ids


_Found = TypeVar("_Found")


def _with_gaps(rows: Sequence[Normalised], found: list[_Found | DataError]) -> list[_Found | DataError]:
    """`found` with an error in the place of each row that could not be asked about."""
    if len(found) == len(rows):
        return found
    answers = iter(found)
    return [next(answers) if wire.can_travel(row) else _unreadable() for row in rows]


def _unreadable() -> RowRejected:
    return RowRejected(
        "DATA_LONE_SURROGATE",
        "broken character",
        "A tool or a call of the row holds a value that is no valid text.",
        "Write the file again as valid Unicode.",
    )


_shared: dict[tuple[Path, str], tuple[tuple[int, ...], RemoteTokenizer]] = {}
_lock = Lock()


def shared(model_dir: Path, use: Literal["preview", "bulk"]) -> RemoteTokenizer:
    """A tokenizer kept for the life of this process, so that looking again costs no start.

    Args:
        model_dir: a checked model directory; when its tokenizer or template changes, so does what is returned.
        use: single rows that somebody waits for, or whole files; neither keeps the other waiting.

    Raises:
        DataError: the tokenizer or the template can't be used.
    """
    state = tuple(
        _changed(model_dir / name) for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    )
    with _lock:
        known = _shared.get((model_dir, use))
        if known is not None and known[0] == state:
            return known[1]
        for (other, kind), (_, tokenizer) in list(_shared.items()):
            # One model at a time is looked at; its vocabulary may take hundreds of megabytes.
            if kind == use:
                tokenizer.close()
                del _shared[other, kind]
        made = RemoteTokenizer(model_dir, size=1 if use == "preview" else 0)
        _shared[model_dir, use] = state, made
        return made


def close_shared() -> None:
    """End the children kept by `shared`, whatever they are doing; for the end of the process."""
    with _lock:
        for _, tokenizer in _shared.values():
            tokenizer.close()
        _shared.clear()


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
