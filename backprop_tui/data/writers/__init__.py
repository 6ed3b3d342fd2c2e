"""Write rows in the formats other tools read. Every row is written unchanged, or counted under the reason it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.data.formats.conversation import Conversation, Normalised, PlainText, Preference, Unpaired
from backprop_tui.data.writers.aside import written_aside
from backprop_tui.data.writers.sinks import kind_of_file, opened_sink
from backprop_tui.data.writers.targets import TARGETS, CannotHold, Target, shape_of
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.text import safe_text

__all__ = ["TARGETS", "Prefer", "Target", "Written", "write_rows"]

#: Which answers of pairs and labelled answers become conversations.
Prefer = Literal["chosen", "rejected"]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the rows: `rows` written, `skipped` by reason, and the file's size in `bytes`."""

    path: Path
    to: Target
    rows: int
    skipped: dict[str, int]
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words; the path is made harmless for display."""
        return {
            "file": safe_text(self.path),
            "to": self.to,
            "rows": self.rows,
            "skipped": self.skipped,
            "bytes": self.bytes,
        }


def write_rows(
    rows: Iterable[Normalised],
    out: Path,
    to: Target,
    *,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
    prefer: Prefer | None = None,
    render: Callable[[Conversation], str] | None = None,
) -> Written:
    """Write rows to one file, which appears when it is whole.

    Args:
        rows: rows in the internal form, read one at a time; an exception they raise ends the writing without a trace.
        out: `.jsonl`, `.csv` (targets that are flat), `.parquet`, or the first two with `.gz` behind.
        to: what the rows are written as (see `writers.targets`). `native` keeps each row's kind, and is read back with the
            format of that name; a Parquet file holds one kind, that of its first row.
        overwrite: replace a file that is there.
        inputs: the files the rows come from; none of them is written onto.
        prefer: for targets of conversations, take the chosen (or rejected) answer of each pair, and the labelled answers
            that are wanted (or unwanted); without it such rows are skipped.
        render: for the target `text`, gives a conversation's text, as a chat template does; without it conversations are
            skipped there.

    Raises:
        UsageError: the target or the kind of file is unknown, or `out` may not be written.
        DataError: DATA_NOTHING_WRITTEN, no row could be written; there is no file then.
        UnavailableError: DATA_OUT_FAILED.
    """
    import msgspec

    refuse_if_view_only()
    if to not in TARGETS:
        raise UsageError(
            "DATA_TARGET_UNKNOWN", f"Nothing is written as {safe_text(to, limit=60)!r}.", f"Use {', '.join(TARGETS)}."
        )
    kind = kind_of_file(out, to)
    skipped: Counter[str] = Counter()
    count = 0
    encode = msgspec.json.Encoder().encode
    with written_aside(out, overwrite=overwrite, inputs=inputs) as file:
        with opened_sink(file, kind, to) as sink:
            for row in rows:
                try:
                    shape = shape_of(_as_asked(row, to, prefer, render), to, kind.holds)
                    sink.add(shape, encode(shape))
                except CannotHold as error:
                    skipped[error.reason] += 1
                except UnicodeEncodeError:
                    skipped["broken character"] += 1
                except RecursionError:
                    skipped["nested too deeply"] += 1
                else:
                    count += 1
        if not count:
            raise _nothing(to, skipped)
        file.flush()
        size = file.tell()
    return Written(out, to, count, dict(skipped.most_common()), size)


def _as_asked(
    row: Normalised, to: Target, prefer: Prefer | None, render: Callable[[Conversation], str] | None
) -> Normalised:
    if to == "native":
        return row
    if prefer is not None:
        if isinstance(row, Preference):
            answer = row.chosen if prefer == "chosen" else row.rejected
            row = Conversation((*row.prompt, *answer), row.tools)
        elif isinstance(row, Unpaired):
            if row.label is not (prefer == "chosen"):
                raise CannotHold("unwanted answer" if prefer == "chosen" else "wanted answer")
            row = Conversation((*row.prompt, *row.completion), row.tools)
    if to == "text" and render is not None and isinstance(row, Conversation):
        return PlainText(render(row))
    return row


def _nothing(to: Target, skipped: Counter[str]) -> DataError:
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in skipped.most_common(4))
    cause = f"No row can be written as {to}: {reasons}." if reasons else "There are no rows to write."
    return DataError("DATA_NOTHING_WRITTEN", cause, "Choose another target, or other rows.", {"skipped": dict(skipped)})
