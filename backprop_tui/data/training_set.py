"""From the data settings of a run to the rows it trains on: reproducible, disjoint, nothing lost without a name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.data.children.remote import RemoteTokenizer, shared
from backprop_tui.data.finding.places import BUNDLED, DataSet, Source, check_set, resolve
from backprop_tui.data.formats import Conversation, Normalised, Purpose
from backprop_tui.data.learning import as_learnt, encode_rows, refuse_useless_masks
from backprop_tui.data.rendering.joined import Learnt, answered, renderings_of
from backprop_tui.data.selection import ELSEWHERE, Progress, Scan, rows_at, scan, select, whole
from backprop_tui.data.versions.fingerprint import describe_data, set_state
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text

_PROBE = 64


@dataclass(slots=True)
class TrainingSet:
    """Everything the worker needs.

    Args:
        train: rows to learn from, in the order of the settings; repeated rows are in it more than once.
        eval: held-out rows; no row is in both.
        eval_conversations: the held-out rows that have an answer to compare with, in the order of
            `eval`, for generated samples.
        dropped: rows left out, by reason.
        cut_rows: rows that lost their end to `max_length`, and `cut_tokens` what they lost.
        formats: rows by the format they are in.
        steps: rows after each step of the selection, in order.
        overlap: training rows whose content is also held out.
        sources: words of the sources, in order. train_sources: for each row of `train`, which one it is from.
        eval_sources: the same of `eval`; None where the held-out rows are a set of their own.
        fingerprint: what identifies data, selection, template and tokenizer; JSON-ready.
    """

    train: list[Learnt]
    eval: list[Learnt]
    eval_conversations: list[Conversation]
    dropped: dict[str, int]
    cut_rows: int
    cut_tokens: int
    formats: dict[str, int]
    steps: tuple[tuple[str, int], ...]
    overlap: int
    sources: list[str]
    train_sources: list[int]
    eval_sources: list[int] | None
    fingerprint: dict[str, Any]

    @property
    def dropped_rows(self) -> int:
        """Rows left out for any reason."""
        return sum(self.dropped.values())


def data_sets(part: DataPart) -> tuple[DataSet, DataSet | None]:
    """The training data and the held-out data; the bundled pair for `demo`. None means that rows are split off.

    With `eval_split` 0 the demo holds nothing out, like any other data.

    Raises:
        DataError: there is no such data.
    """
    train = resolve(part.path)
    if part.eval_path:
        return train, resolve(part.eval_path)
    words = part.path.strip()
    if words in BUNDLED and part.eval_split > 0:
        return train, DataSet((Source(words, "demo", (paths.demo_data_file("eval", BUNDLED[words]),)),))
    return train, None


def check(
    part: DataPart, model_dir: Path | None, *, purpose: Purpose = "sft", on_progress: Progress | None = None
) -> dict[str, Any]:
    """Refuse data that can't be trained on, before anything expensive: reads every row, tokenises a few.

    Args:
        part: the run's data settings.
        model_dir: the checked model directory; None when it is still to be downloaded, then nothing is tokenised.
        purpose: what the run learns from.
        on_progress: told how far it is.

    Returns:
        `rows`, `kept`, `dropped` and `formats` of the training data.

    Raises:
        DataError: a file is missing, damaged (with the line), has no usable row, or the template hides the answers.
        UsageError: the filter, the mapping of columns or a weight is not valid.
    """
    train, held_out = data_sets(part)
    for data in filter(None, (train, held_out)):
        check_set(data)
    found = _scanned(train, part, purpose, on_progress)
    if model_dir is not None:
        tokenizer = shared(model_dir, "preview")
        if found.chats:
            tokenizer.check()
        reasons: Counter[str] = Counter()
        wanted = set(found.kept[:_PROBE])
        sample = list(islice(rows_at(train, part, wanted, purpose), len(wanted)))
        results = as_learnt(tokenizer, sample, part)
        rows = [result for result in results if not isinstance(result, DataError)]
        refuse_useless_masks(rows, sample, part)
        if not rows:
            # A few rows that don't fit are no verdict on the rest; all of the first rows in a row need a full look.
            everything = rows_at(train, part, set(found.kept), purpose)
            encode_rows(everything, len(found.kept), tokenizer, part, reasons, None, train)
    select(found, part, 0, split=held_out is None)
    if held_out is not None:
        _scanned(held_out, whole(part), purpose, on_progress)
    return {
        "rows": found.rows,
        "kept": len(found.kept),
        "dropped": dict(found.dropped),
        "formats": dict(found.formats),
    }


#: The newest scans of `check`: while settings are being chosen the same rows are asked about again and again.
_recent: dict[tuple[Any, ...], Scan] = {}
_MOST_RECENT = 2
#: Settings that decide nothing about single rows.
_AFTER_THE_SCAN = {"max_length", "packing", "eval_split", "eval_path", "train_on", "max_rows"}


def scanned(
    data: DataSet,
    part: DataPart,
    on_progress: Progress | None = None,
    *,
    held_out: bool = False,
    purpose: Purpose = "sft",
) -> Scan:
    """What `check` found in these rows, or finds now.

    Raises:
        DataError, UsageError: as `check`.
    """
    return _scanned(data, whole(part) if held_out else part, purpose, on_progress)


def _scanned(data: DataSet, part: DataPart, purpose: Purpose, on_progress: Progress | None) -> Scan:
    """A scan, remembered while the files and the settings that matter to it stay the same."""
    settings = sorted(part.model_dump(exclude=_AFTER_THE_SCAN).items())
    key = (data, set_state(data), tuple(settings), purpose)
    found = _recent.pop(key, None) or scan(data, part, purpose=purpose, on_progress=on_progress)
    _recent[key] = found
    while len(_recent) > _MOST_RECENT:
        del _recent[next(iter(_recent))]
    return found


def build(
    part: DataPart,
    model_dir: Path,
    *,
    seed: int,
    purpose: Purpose = "sft",
    tokenizer: RemoteTokenizer | None = None,
    on_progress: Progress | None = None,
) -> TrainingSet:
    """Read, select, split and tokenise.

    The same data, settings and seed give the same rows in the same order, whatever Python's version.

    Args:
        part: the run's data settings.
        model_dir: directory with tokenizer and chat template.
        seed: the run's seed.
        purpose: what the run learns from.
        tokenizer: of this model; None starts one for the occasion.
        on_progress: told how far it is.

    Raises:
        DataError: as `check`, and DATA_CHANGED when a file changes while it is read.
        UsageError: as `check`.
    """
    if tokenizer is None:
        with RemoteTokenizer(model_dir, size=0) as own:
            return build(part, model_dir, seed=seed, purpose=purpose, tokenizer=own, on_progress=on_progress)
    train_data, eval_data = data_sets(part)
    states = {data: set_state(data) for data in filter(None, (train_data, eval_data))}
    found = scan(train_data, part, purpose=purpose, on_progress=on_progress)
    if found.chats:
        tokenizer.check()
    chosen = select(found, part, seed, split=eval_data is None)
    dropped: Counter[str] = Counter(found.dropped)
    held = set(chosen.held)
    wanted = held.union(chosen.train)
    questions: dict[int, Conversation] = {}

    rows = _noted(rows_at(train_data, part, wanted, purpose), held, questions)
    encoded = encode_rows(rows, len(wanted), tokenizer, part, dropped, on_progress, train_data)
    by_index = {row.index: row for row in encoded}
    train = [by_index[index] for index in chosen.train if index in by_index]
    evaluation = [by_index[index] for index in chosen.held if index in by_index]
    if not train:
        name = safe_text(train_data.words)
        raise DataError("DATA_NO_USABLE_ROWS", f"{name} has no row left to train on.", "Add rows.")
    described = [describe_data(train_data, found)]
    source_of = dict(zip(found.kept, found.sources, strict=True))
    overlap = 0
    if eval_data is not None:
        other = scan(eval_data, whole(part), purpose=purpose, on_progress=on_progress)
        rows = _noted(rows_at(eval_data, part, set(other.kept), purpose), None, questions)
        reasons = Counter(other.dropped)
        evaluation = encode_rows(rows, len(other.kept), tokenizer, part, reasons, on_progress, eval_data)
        dropped.update({f"held out: {reason}": count for reason, count in reasons.items()})
        described.append(describe_data(eval_data, other))
        held_keys = set(other.keys)
        overlap = sum(key in held_keys for key in found.keys)
    for data, state in states.items():
        if set_state(data) != state:
            raise DataError(
                "DATA_CHANGED",
                f"{safe_text(data.words)} changed while it was read.",
                "Start again once it is complete.",
            )
    return TrainingSet(
        train=train,
        eval=evaluation,
        eval_conversations=[questions[row.index] for row in evaluation if row.index in questions],
        dropped=dict(dropped),
        cut_rows=sum(1 for row in train if row.cut),
        cut_tokens=sum(row.cut for row in train),
        formats=dict(found.formats),
        steps=chosen.steps,
        overlap=overlap,
        sources=[source.words for source in train_data.sources],
        train_sources=[source_of[row.index] for row in train],
        eval_sources=[source_of[row.index] for row in evaluation] if eval_data is None else None,
        fingerprint={
            "sources": described,
            "settings": part.model_dump(mode="json", exclude=set(ELSEWHERE)),
            "seed": seed,
            "dropped": dict(dropped),
            "tokenizer": describe_tokenizer(model_dir),
            "template": hashlib.sha256(tokenizer.template_source.encode()).hexdigest(),
            "train": _summary(train),
            "eval": _summary(evaluation),
        },
    )


def describe_tokenizer(model_dir: Path) -> str:
    """sha256 of tokenizer.json."""
    return hashlib.sha256((model_dir / "tokenizer.json").read_bytes()).hexdigest()


def _noted(
    rows: Iterable[tuple[int, Normalised]], which: set[int] | None, questions: dict[int, Conversation]
) -> Iterator[tuple[int, Normalised]]:
    """Keep those of the rows to be held out that ask something and know an answer while they pass."""
    for index, row in rows:
        if (which is None or index in which) and (asked := answered(row)) is not None:
            questions[index] = asked
        yield index, row


def _summary(rows: list[Learnt]) -> dict[str, Any]:
    """Rows, tokens, how they are spread, and a digest of ids, masks, order and what stands beside a row."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row).to_bytes(4, "little"))
        digest.update(row.digest_bytes())
    lengths = sorted(len(rendering) for row in rows for rendering in renderings_of(row))
    last = len(lengths) - 1
    quantiles = {f"p{percent}": lengths[last * percent // 100] for percent in (5, 25, 50, 75, 95)} if rows else {}
    return {
        "rows": len(rows),
        "tokens": sum(lengths),
        "trained_tokens": sum(row.trained_tokens for row in rows),
        "quantiles": quantiles,
        "sha256": digest.hexdigest(),
    }
