"""`python -P -m backprop_tui.engine.worker.scoring`: one process that scores rows with a model and ends.

It is started by `launch.scoring` and speaks `engine.scoring_wire` on its standard streams. The heavy libraries are imported
while the rows arrive; the weights are loaded once all are here, when whoever tokenised them has given its memory back.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from backprop_tui.engine import scoring_wire as wire
from backprop_tui.engine.worker.faults import is_out_of_memory
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE, BackpropError, DataError
from backprop_tui.protocol.spec import ModelPart, RunSpec
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    import numpy as np

    from backprop_tui.engine.worker.precision import Precision

_CHECK_MODEL = "Check that it is a causal language model with all its weights in safetensors files."


class _Row:
    """One row as `RowStore` takes it: ids and whether each counts, of shape (tokens,)."""

    __slots__ = ("ids", "trained")

    def __init__(self, ids: np.ndarray[Any, Any], trained: np.ndarray[Any, Any]) -> None:
        self.ids: Any = ids
        self.trained: Any = trained


class _Inbox(threading.Thread):
    """Collects the rows, then watches over the asking side: when it is gone, so is this process."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(name="rows", daemon=True)
        self._stream = stream
        self._taken: list[wire.Rows] = []
        self._complete = threading.Event()

    def run(self) -> None:
        """Read until the stream ends."""
        try:
            while isinstance(message := wire.receive(self._stream), wire.Rows):
                self._taken.append(message)
            if isinstance(message, wire.Go):
                self._complete.set()
                self._stream.read(1)
        finally:
            os._exit(EXIT_FAILED)

    def rows(self) -> Iterator[_Row]:
        """All rows in the order they were sent, once they are here; each is handed out once."""
        import numpy as np

        self._complete.wait()
        taken, self._taken = self._taken, []
        for message in taken:
            ids = np.frombuffer(message.ids, dtype=np.int32)
            counted = np.frombuffer(message.counted, dtype=bool)
            end = 0
            for length in message.lengths:
                start, end = end, end + length
                yield _Row(ids[start:end], counted[start:end])


class _Outbox:
    """Sends the answers."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def say(self, kind: str, **words: Any) -> None:
        """Send one; ends the process when nobody reads."""
        try:
            self._stream.write(wire.line(kind, words))
            self._stream.flush()
        except BrokenPipeError:
            os._exit(EXIT_FAILED)


class _AsItIs:
    """A "method" that trains nothing."""

    def weights_options(self, spec: RunSpec, precision: Precision) -> dict[str, Any]:
        """None."""
        return {}

    def adapt(self, model: Any, spec: RunSpec, source: str, checkpoint: Path | None = None) -> Any:
        """The model as loaded."""
        return model


def load_for_scoring(spec: RunSpec, directory: Path) -> tuple[Any, Precision]:
    """The model in evaluation mode: bfloat16 on a GPU that has it, else float32.

    Raises:
        DataError: MODEL_LOAD_FAILED, the weights or the configuration can't be used, or weights are missing (transformers
            would make them up).
        UnavailableError: a GPU is asked for and there is none.
    """
    from backprop_tui.engine.worker.loading import load_model, use_threads
    from backprop_tui.engine.worker.precision import choose_precision

    precision = choose_precision(spec)
    try:
        model = load_model(spec, directory, _AsItIs(), precision)
    except DataError as error:
        raise DataError(error.code, error.cause, _CHECK_MODEL) from error
    use_threads(precision, sum(weights.numel() for weights in model.parameters()))
    return model.eval(), precision


def main() -> NoReturn:
    """Answer the request on standard input, and end."""
    if sys.stdin.isatty():
        sys.stderr.write("The scoring process is started by `backprop data score`.\n")
        sys.exit(EXIT_USAGE)
    faulthandler.enable()
    # Threads that wait for each other spin by default, which makes a shared machine slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    requests = os.fdopen(os.dup(0), "rb")
    outbox = _Outbox(os.fdopen(os.dup(1), "wb"))
    # What a library prints must not come between the answers.
    os.dup2(2, 1)
    code = _answer(requests, outbox)
    # Not by way of the interpreter's own end: a thread waits for input, and torch takes its time to go.
    os._exit(code)


def _answer(requests: IO[bytes], outbox: _Outbox) -> int:
    try:
        task = wire.receive(requests)
        if not isinstance(task, wire.Task):
            return EXIT_FAILED
        inbox = _Inbox(requests)
        inbox.start()
        _score(task, inbox, outbox)
    except BaseException as error:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
        outbox.say(wire.FAILED, **_words(error))
        return EXIT_FAILED
    outbox.say(wire.END)
    return EXIT_OK


def _score(task: wire.Task, inbox: _Inbox, outbox: _Outbox) -> None:
    from backprop_tui.engine.worker.libraries import leave_out, see_one_gpu, uncollected

    spec = RunSpec(model=ModelPart.model_validate({"base": task.model, "device": task.device}))
    see_one_gpu(os.environ, spec)
    leave_out(spec)
    with uncollected(for_good=True):
        import torch  # noqa: F401
        import transformers  # noqa: F401

        from backprop_tui.engine.worker.likelihood import score_rows
        from backprop_tui.engine.worker.logs import quieten_libraries
        from backprop_tui.engine.worker.rows import RowStore

    quieten_libraries()
    store = RowStore(inbox.rows())
    model, precision = load_for_scoring(spec, Path(task.model))
    outbox.say(wire.LOADED, device=safe_text(precision.device_words), dtype=str(model.dtype).removeprefix("torch."))

    def smaller(rows: int, tokens: int) -> None:
        outbox.say(wire.SMALLER, rows=rows, tokens=tokens)

    for scored in score_rows(model, store, batch_size=task.batch_size, on_smaller=smaller):
        rows, nll, tokens = zip(*scored, strict=True)
        outbox.say(wire.SCORES, rows=rows, nll=nll, tokens=tokens)


def _words(error: BaseException) -> dict[str, Any]:
    """A `failed` line's words for anything that ended the process."""
    if isinstance(error, BackpropError):
        return {**error.to_dict(), "exit": error.exit_code}
    if is_out_of_memory(error):
        words = {
            "code": "OUT_OF_MEMORY",
            "cause": "Memory does not suffice for the model.",
            "next": "Choose a smaller model.",
        }
        return {**words, "exit": EXIT_UNAVAILABLE}
    return {
        "code": "SCORING_FAILED",
        "cause": f"{type(error).__name__}: {safe_text(error, limit=300) or 'no message'}",
        "next": "Try another model, or device cpu.",
        "exit": EXIT_FAILED,
    }


if __name__ == "__main__":
    main()
