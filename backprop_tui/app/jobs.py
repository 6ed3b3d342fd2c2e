"""Work off the event loop: a key never waits for a disk. Results and errors come back as ordinary calls on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from textual.dom import DOMNode
from textual.worker import Worker, get_current_worker

from backprop_tui.protocol.errors import BackpropError, RunFailed
from backprop_tui.protocol.text import safe_text

T = TypeVar("T")
#: Says whether the work has become pointless; long work asks now and then.
Cancelled = Callable[[], bool]


def in_thread(
    node: DOMNode,
    work: Callable[[Cancelled], T],
    done: Callable[[T], object],
    failed: Callable[[BackpropError], object],
    *,
    group: str,
) -> Worker[None]:
    """Run `work` in a thread; then `done(result)` or `failed(error)` on the node's own loop.

    Starting another job of the same `group` on the node cancels the one before; a cancelled job reports nothing.
    """

    def run() -> None:
        worker = get_current_worker()
        try:
            result = work(lambda: worker.is_cancelled)
        except BackpropError as error:
            problem = error
        except OSError as error:
            problem = RunFailed("IO_FAILED", f"{safe_text(error.strerror or error)}.", safe_text(error.filename or ""))
        except Exception as error:
            kind = f"{type(error).__name__}: {safe_text(error, limit=200)}"
            problem = RunFailed(
                "UNEXPECTED", f"Something unforeseen failed ({kind}).", "Nothing was changed; try again."
            )
        else:
            if not worker.is_cancelled:
                node.call_later(done, result)
            return
        if not worker.is_cancelled:
            node.call_later(failed, problem)

    return node.run_worker(run, thread=True, exclusive=True, group=group, exit_on_error=False)
