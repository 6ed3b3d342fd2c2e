"""From the data settings of a run to the rows it trains on: reproducible, disjoint, nothing lost without a name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.data.chat import ChatTokenizer
from backprop_tui.data.encoded import EncodedRow
from backprop_tui.data.fingerprint import describe_source, source_state
from backprop_tui.data.formats import Conversation, Normalised, read_row
from backprop_tui.data.rows import Problem, RowRejected
from backprop_tui.data.sources import check_source, read_rows
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text

#: on_progress(done, total) in rows: `total` is None while they are counted, then known while they are tokenised.
Progress = Callable[[int, int | None], None]
_BATCH = 512
_EVERY = 1000


@dataclass(slots=True)
class TrainingSet:
    """Everything the worker needs.

    Args:
        train: rows to learn from, in file order.
        eval: held-out rows; no row is in both.
        eval_conversations: the held-out rows that are conversations, in the order of
            `eval`, for generated samples.
        dropped: rows left out, by reason.
        cut_rows: rows that lost their end to `max_length`, and `cut_tokens` what they lost.
        formats: rows by the format they are in.
        fingerprint: what identifies data, selection, template and tokenizer; JSON-ready.
    """

    train: list[EncodedRow]
    eval: list[EncodedRow]
    eval_conversations: list[Conversation]
    dropped: dict[str, int]
    cut_rows: int
    cut_tokens: int
    formats: dict[str, int]
    fingerprint: dict[str, Any]

    @property
    def dropped_rows(self) -> int:
        """Rows left out for any reason."""
        return sum(self.dropped.values())


@dataclass(slots=True)
class _Scan:
    """What the first pass over a file found: the rows worth tokenising, and why the others are not."""

    file: Path
    rows: int = 0
    kept: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    first: dict[str, Problem] = field(default_factory=dict)
    conversations: int = 0


def source_files(data: DataPart) -> tuple[Path, Path | None]:
    """The training file and the held-out file; the bundled pair for `demo`. None means that rows are split off.

    With `eval_split` 0 the demo holds nothing out, like any other file.
    """
    eval_file = Path(data.eval_path).expanduser() if data.eval_path else None
    if data.path != "demo":
        return Path(data.path).expanduser(), eval_file
    if eval_file is None and data.eval_split > 0:
        eval_file = paths.demo_data_file("eval")
    return paths.demo_data_file("train"), eval_file


def check(data: DataPart, model_dir: Path | None, *, on_progress: Progress | None = None) -> dict[str, Any]:
    """Refuse data that can't be trained on, before anything expensive: reads every row, tokenises a few.

    Args:
        data: the run's data settings.
        model_dir: the checked model directory; None when it is still to be downloaded, then nothing is tokenised.
        on_progress: told how far it is.

    Returns:
        `rows`, `kept`, `dropped` and `formats` of the training file.

    Raises:
        DataError: a file is missing, damaged (with the line), has no usable row, or the template hides the answers.
    """
    train_file, eval_file = source_files(data)
    for file in filter(None, (train_file, eval_file)):
        check_source(file)
    scan = _scan(train_file, data, on_progress)
    if model_dir is not None:
        tokenizer = ChatTokenizer.load(model_dir)
        if scan.conversations:
            tokenizer.check()
        reasons: Counter[str] = Counter()
        sample = list(islice(_rows(scan, data, set(scan.kept)), 64))
        results = tokenizer.encode_many(sample, max_length=data.max_length, train_on=data.train_on)
        if not any(isinstance(result, EncodedRow) for result in results):
            # A few rows that don't fit are no verdict on the rest; all of a file's first rows in a row need a full look.
            _encode(_rows(scan, data, set(scan.kept)), len(scan.kept), tokenizer, data, reasons, None, train_file)
    if eval_file is not None:
        _scan(eval_file, data, on_progress)
    return {
        "rows": scan.rows,
        "kept": len(scan.kept),
        "dropped": dict(scan.dropped),
        "formats": dict(scan.formats),
    }


def build(data: DataPart, model_dir: Path, *, seed: int, on_progress: Progress | None = None) -> TrainingSet:
    """Read, select, split and tokenise.

    The same file, settings and seed give the same rows in the same order. `max_rows` takes rows in a seeded shuffled
    order and the split holds out rows in another, both independent of Python's version.

    Args:
        data: the run's data settings.
        model_dir: directory with tokenizer and chat template.
        seed: the run's seed.
        on_progress: told how far it is.

    Raises:
        DataError: as `check`, and DATA_CHANGED when a file changes while it is read.
    """
    tokenizer = ChatTokenizer.load(model_dir)
    train_file, eval_file = source_files(data)
    states = {file: source_state(file) for file in filter(None, (train_file, eval_file))}
    scan = _scan(train_file, data, on_progress)
    if scan.conversations:
        tokenizer.check()
    chosen = _order(scan.kept, f"{seed}:rows")[: data.max_rows or None]
    held: set[int] = set()
    if eval_file is None and data.eval_split > 0 and len(chosen) > 1:
        count = min(len(chosen) - 1, max(1, round(len(chosen) * data.eval_split)))
        held = set(_order(sorted(chosen), f"{seed}:split")[:count])
    selected = set(chosen)
    dropped: Counter[str] = Counter(scan.dropped)
    questions: dict[int, Conversation] = {}

    def noted(rows: Iterable[tuple[int, Normalised]], which: set[int] | None) -> Iterator[tuple[int, Normalised]]:
        for index, row in rows:
            if (which is None or index in which) and isinstance(row, Conversation):
                questions[index] = row
            yield index, row

    rows = noted(_rows(scan, data, selected), held)
    encoded = _encode(rows, len(selected), tokenizer, data, dropped, on_progress, train_file)
    train = [row for row in encoded if row.index not in held]
    evaluation = [row for row in encoded if row.index in held]
    if not train:
        raise DataError(
            "DATA_NO_USABLE_ROWS", f"{safe_text(train_file.name)} has no row left to train on.", "Add rows."
        )
    sources = [describe_source(train_file, rows=scan.rows, kept=len(encoded))]
    if eval_file is not None:
        other = _scan(eval_file, data, on_progress)
        rows = noted(_rows(other, data, set(other.kept)), None)
        reasons = Counter(other.dropped)
        evaluation = _encode(rows, len(other.kept), tokenizer, data, reasons, on_progress, eval_file)
        dropped.update({f"held out: {reason}": count for reason, count in reasons.items()})
        sources.append(describe_source(eval_file, rows=other.rows, kept=len(evaluation)))
    for file, state in states.items():
        if source_state(file) != state:
            raise DataError(
                "DATA_CHANGED", f"{safe_text(file.name)} changed while it was read.", "Start again once it is complete."
            )
    return TrainingSet(
        train=train,
        eval=evaluation,
        eval_conversations=[questions[row.index] for row in evaluation if row.index in questions],
        dropped=dict(dropped),
        cut_rows=sum(1 for row in train if row.cut),
        cut_tokens=sum(row.cut for row in train),
        formats=dict(scan.formats),
        fingerprint={
            "sources": sources,
            "format": data.format,
            "max_length": data.max_length,
            "train_on": data.train_on,
            "max_rows": data.max_rows,
            "eval_split": data.eval_split,
            "seed": seed,
            "tokenizer": describe_tokenizer(model_dir),
            "template": hashlib.sha256(tokenizer.template_source.encode()).hexdigest(),
            "train": {"rows": len(train), "tokens": sum(map(len, train)), "sha256": _digest(train)},
            "eval": {"rows": len(evaluation), "tokens": sum(map(len, evaluation)), "sha256": _digest(evaluation)},
        },
    )


def describe_tokenizer(model_dir: Path) -> str:
    """sha256 of tokenizer.json."""
    return hashlib.sha256((model_dir / "tokenizer.json").read_bytes()).hexdigest()


def _scan(file: Path, data: DataPart, on_progress: Progress | None) -> _Scan:
    """First pass: every row read and normalised, none kept in memory.

    Raises:
        DataError: a damaged line, or no usable row.
    """
    name = safe_text(file.name)
    scan = _Scan(file)
    for row in read_rows(file):
        scan.rows += 1
        if on_progress and row.index % _EVERY == 0:
            on_progress(row.index, None)
        if row.problem is not None:
            raise row.problem.to_error(name)
        try:
            name_of_format, normalised = read_row(row.value, data.format)
        except RowRejected as error:
            scan.dropped[error.reason] += 1
            scan.first.setdefault(
                error.reason, Problem(error.code, error.cause, error.next_step, row.line, row.index + 1)
            )
            continue
        scan.kept.append(row.index)
        scan.formats[name_of_format] += 1
        scan.conversations += isinstance(normalised, Conversation)
    if not scan.rows:
        raise DataError("DATA_FILE_EMPTY", f"{name} has no rows.", "Choose a file with rows in it.")
    if not scan.kept:
        raise _no_usable_rows(name, scan.rows, scan.dropped, scan.first)
    return scan


def _rows(scan: _Scan, data: DataPart, wanted: set[int]) -> Iterator[tuple[int, Normalised]]:
    """Second pass over the rows with these indices."""
    for row in read_rows(scan.file):
        if row.index in wanted and row.problem is None:
            yield row.index, read_row(row.value, data.format)[1]


def _encode(
    rows: Iterable[tuple[int, Normalised]],
    total: int,
    tokenizer: ChatTokenizer,
    data: DataPart,
    dropped: Counter[str],
    on_progress: Progress | None,
    file: Path,
) -> list[EncodedRow]:
    encoded: list[EncodedRow] = []
    first: dict[str, Problem] = {}
    reasons: Counter[str] = Counter()
    done = 0
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        results = tokenizer.encode_many(batch, max_length=data.max_length, train_on=data.train_on)
        for (index, _), result in zip(batch, results, strict=True):
            if isinstance(result, EncodedRow):
                encoded.append(result)
                continue
            reason = result.reason if isinstance(result, RowRejected) else "refused by the chat template"
            reasons[reason] += 1
            first.setdefault(reason, Problem(result.code, result.cause, result.next_step, row=index + 1))
        done += len(batch)
        if on_progress:
            on_progress(done, total)
    dropped.update(reasons)
    if not encoded and total:
        raise _no_usable_rows(safe_text(file.name), total, reasons, first)
    return encoded


def _no_usable_rows(name: str, rows: int, dropped: Counter[str], first: dict[str, Problem]) -> DataError:
    """The error of a file without a usable row: the commonest reason leads, and when it is the only one gives the code."""
    reason, count = dropped.most_common(1)[0]
    problem = first[reason]
    detail = {"dropped": dict(dropped), "line": problem.line, "row": problem.row}
    if count < rows:
        words = ", ".join(f"{why} {number:,}" for why, number in dropped.most_common(4))
        return DataError(
            "DATA_NO_USABLE_ROWS",
            f"None of the {rows:,} rows of {name} can be used: {words}.",
            problem.next_step,
            detail,
        )
    which = f"All {rows:,} rows of {name}" if rows > 1 else f"The only row of {name}"
    return DataError(problem.code, f"{which}: {reason}. {problem.cause}", problem.next_step, detail)


def _order(indices: list[int], salt: str) -> list[int]:
    """A shuffled order that depends on salt and index alone, whatever the Python version."""

    def key(index: int) -> bytes:
        return hashlib.blake2b(f"{salt}:{index}".encode(), digest_size=16).digest()

    return sorted(indices, key=key)


def _digest(rows: list[EncodedRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row).to_bytes(4, "little"))
        digest.update(row.digest_bytes())
    return digest.hexdigest()
