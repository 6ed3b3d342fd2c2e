"""What the libraries say through `logging` and `warnings`, sent as `log` events: harmless, short, and not too often."""

from __future__ import annotations

import contextlib
import logging
import re
import time
import warnings
from collections import deque
from collections.abc import Iterator

from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.protocol.payloads import Level
from backprop_tui.protocol.text import safe_text

_LONGEST = 500
#: At most this many lines in so many seconds; what is beyond goes to worker.log only.
_BURST, _WINDOW = 20, 10.0
#: A line seen before is not sent again; this many are remembered.
_REMEMBERED = 256
#: A formatted warning: file, line and category, the words, then the line of source it points at.
_WARNING = re.compile(r"^.+?:\d+: \w+: (?P<words>.*?)(?:\n  .*)?\s*$", re.DOTALL)


class EventHandler(logging.Handler):
    """Forwards warnings and worse."""

    def __init__(self, sink: EventSink) -> None:
        super().__init__(logging.WARNING)
        self._sink = sink
        self._seen: dict[str, None] = {}
        self._times: deque[float] = deque(maxlen=_BURST)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, unless it repeats or there are too many."""
        try:
            text = record.getMessage()
            if record.name == "py.warnings" and (found := _WARNING.match(text)):
                text = found["words"]
            message = safe_text(text.strip(), limit=_LONGEST)
        except Exception:
            return
        now = time.monotonic()
        if not message or message in self._seen:
            return
        if len(self._times) == _BURST and now - self._times[0] < _WINDOW:
            return
        self._seen[message] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._times.append(now)
        level: Level = "error" if record.levelno >= logging.ERROR else "warn"
        self._sink.log(level, safe_text(record.name, limit=80), message)


@contextlib.contextmanager
def forwarded_logs(sink: EventSink) -> Iterator[None]:
    """Within it, warnings of all libraries are sent as events; they still reach stderr, which is worker.log."""
    root = logging.getLogger()
    handlers = [EventHandler(sink), logging.StreamHandler()]
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)
    # It complains of an optional package on every start, whether or not anything is quantised.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # What one library should change about its use of another is nothing the person can act on.
            for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category)
            yield
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            root.removeHandler(handler)


def quieten_libraries() -> None:
    """Let transformers speak through the root logger, without progress bars; call it once it is imported."""
    from transformers.utils import logging as hf

    hf.set_verbosity_warning()
    hf.disable_default_handler()
    hf.enable_propagation()
    hf.disable_progress_bar()
