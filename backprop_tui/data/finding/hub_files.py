"""Which files of a dataset repository are its training rows: by the path asked for, by its card, or by custom.

Custom is that of the hub: a split is named by the files or folders that hold it, such as `data/train-00000-of-00002.parquet`.
Where a choice would be a guess, an error lists the choices, ready to use.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backprop_tui.data.finding.folders import is_about, is_pattern, matches
from backprop_tui.data.sources import EXTENSIONS, extension_of
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

CONVERTED = "refs/convert/parquet"
_MOST_WORDS = 8
#: How the hub recognises a split in a path: the word, set off by anything but letters.
_TRAIN = re.compile(r"(?<![A-Za-z])(train|training)(?![A-Za-z])", re.IGNORECASE)
_HELD_OUT = re.compile(
    r"(?<![A-Za-z])(test|testing|eval|evaluation|valid|validation|val|dev)(?![A-Za-z])", re.IGNORECASE
)
_SHARD = re.compile(r"(.*?)-(\d{5})-of-(\d{5})(.*)")


@dataclass(frozen=True, slots=True)
class Choice:
    """Names of files in the repository, in order, and what was left out and why."""

    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()


def readable(names: Iterable[str]) -> list[str]:
    """The files of a repository that hold rows, sorted. Names that would lead out of a folder are not among them."""
    return sorted(
        name
        for name in names
        if extension_of(name)
        and not name.startswith("/")
        and not {"", ".", ".."} & set(name.split("/"))
        and "\\" not in name
        and not any(part.startswith(".") for part in name.split("/"))
        and not is_about(name.rpartition("/")[2])
    )


def choose(names: Sequence[str], card: Mapping[str, Any], path: str, where: str) -> Choice:
    """The training files.

    Args:
        names: what `readable` gave.
        card: the head of the repository's README, as parsed; empty without one.
        path: file, folder or pattern asked for; empty looks for the training rows.
        where: the words that lead to the repository, `hf://datasets/org/name`, for choices that can be typed.

    Raises:
        DataError: HUB_FILE_MISSING, HUB_SEVERAL_CONFIGS, HUB_SEVERAL_SPLITS or HUB_NO_ROWS.
    """
    if path:
        return Choice(tuple(_asked(names, path, where)))
    if not names:
        raise no_rows(where)
    configs = _configs(card)
    if configs:
        return _by_card(names, configs, where)
    if where.endswith(f"@{CONVERTED}"):
        return _by_folders(names, where)
    return _by_custom(names)


def no_rows(where: str) -> DataError:
    """The error of a repository without a file that can be read."""
    return DataError(
        "HUB_NO_ROWS",
        f"{safe_text(where, limit=200)} holds no file of rows.",
        f"Choose a dataset with files ending in {', '.join(EXTENSIONS)}.",
    )


def missing_shards(names: Iterable[str]) -> list[str]:
    """Parts that numbered files such as `train-00001-of-00003.parquet` say exist, and that are not there."""
    there = set(names)
    wanted: set[str] = set()
    for name in there:
        if (shard := _SHARD.fullmatch(name)) and int(shard[3]) <= 10_000:
            wanted.update(f"{shard[1]}-{part:05}-of-{shard[3]}{shard[4]}" for part in range(int(shard[3])))
    return sorted(wanted - there)


def _asked(names: Sequence[str], path: str, where: str) -> list[str]:
    path = path.strip("/")
    if is_pattern(path):
        steps = tuple(path.split("/"))
        found = [name for name in names if matches(tuple(name.split("/")), steps)]
    else:
        found = [name for name in names if name == path or name.startswith(f"{path}/")]
    if not found:
        near = difflib.get_close_matches(path, names, n=1, cutoff=0.4) or list(names[:1])
        raise DataError(
            "HUB_FILE_MISSING",
            f"{safe_text(where, limit=200)} has no file of rows at {safe_text(path, limit=120)}.",
            f"Choose {safe_text(where)}/{safe_text(near[0])}." if near else "Choose another dataset.",
        )
    return found


def _by_card(names: Sequence[str], configs: dict[str, dict[str, Any]], where: str) -> Choice:
    chosen = next((config for config in configs.values() if config.get("default") is True), None)
    chosen = chosen or configs.get("default") or (next(iter(configs.values())) if len(configs) == 1 else None)
    if chosen is None:
        words = [_words(names, config, where) for config in configs.values()]
        raise _several("HUB_SEVERAL_CONFIGS", where, "configurations", list(configs), words)
    splits = _splits(chosen)
    training = [split for split in splits if _TRAIN.search(split)]
    exact = "train" if "train" in splits else None
    split = exact or (training[0] if len(training) == 1 else None) or (next(iter(splits)) if len(splits) == 1 else None)
    if split is None:
        words = [f"{where}/{patterns[0]}" for patterns in splits.values()]
        raise _several("HUB_SEVERAL_SPLITS", where, "splits", list(splits), words)
    found = _matching(names, splits[split])
    if not found:
        raise DataError(
            "HUB_NO_ROWS",
            f"The card of {safe_text(where, limit=200)} names {safe_text(splits[split][0], limit=120)}, which is not there.",
            f"Choose a file, such as {safe_text(where)}/{safe_text(names[0])}.",
        )
    return Choice(tuple(found), tuple((name, "not of the training split") for name in names if name not in found))


def _by_folders(names: Sequence[str], where: str) -> Choice:
    """The hub's own conversion keeps `configuration/split/0000.parquet`."""
    configs: dict[str, list[str]] = {}
    for name in names:
        configs.setdefault(name.split("/")[0], []).append(name)
    chosen = configs.get("default") or (next(iter(configs.values())) if len(configs) == 1 else None)
    if chosen is None:
        words = [f"{where}/{config}" for config in configs]
        raise _several("HUB_SEVERAL_CONFIGS", where, "configurations", list(configs), words)
    return _by_custom(chosen)


def _by_custom(names: Sequence[str]) -> Choice:
    training = [name for name in names if _TRAIN.search(name)]
    found = training or [name for name in names if not _HELD_OUT.search(name)] or list(names)
    # Some repositories hold the same rows as several kinds of file: the most frequent kind is taken.
    counts = Counter(extension_of(name) for name in found)
    kind = max(counts, key=lambda ending: (counts[ending], ending == ".parquet", ending))
    kept = [name for name in found if extension_of(name) == kind]
    return Choice(tuple(kept), tuple((name, "not of the training split") for name in names if name not in set(kept)))


def _configs(card: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Configurations of a card that say where their files are."""
    configs = card.get("configs")
    if not isinstance(configs, list):
        return {}
    return {
        str(config.get("config_name", "default")): config
        for config in configs
        if isinstance(config, dict) and _splits(config)
    }


def _splits(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Patterns of files by split, from any of the ways a card may write them."""
    folder = config.get("data_dir")
    inside = f"{folder.strip('./')}/" if isinstance(folder, str) and folder.strip("./") else ""
    files = config.get("data_files")
    if files is None:
        return {"train": [f"{inside}**"]} if inside else {}
    entries = files if isinstance(files, list) else [files]
    splits: dict[str, list[str]] = {}
    for entry in entries:
        split, paths = (entry.get("split", "train"), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        patterns = [path for path in (paths if isinstance(paths, list) else [paths]) if isinstance(path, str) and path]
        if patterns:
            splits.setdefault(str(split), []).extend(inside + pattern.removeprefix("./") for pattern in patterns)
    return splits


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    steps = [tuple(pattern.split("/")) for pattern in patterns]
    return [
        name for name in names if any(name == "/".join(step) or matches(tuple(name.split("/")), step) for step in steps)
    ]


def _words(names: Sequence[str], config: Mapping[str, Any], where: str) -> str:
    splits = _splits(config)
    return f"{where}/{(splits.get('train') or next(iter(splits.values())))[0]}"


def _several(code: str, where: str, what: str, names: list[str], words: list[str]) -> DataError:
    listed = ", ".join(safe_text(name, limit=40) for name in names[:_MOST_WORDS])
    shown = [safe_text(word, limit=200) for word in words[:_MOST_WORDS]]
    return DataError(
        code,
        f"{safe_text(where, limit=200)} has several {what}: {listed}{' …' if len(names) > _MOST_WORDS else ''}.",
        f"Choose one: {' or '.join(shown)}.",
        {"words": [safe_text(word, limit=200) for word in words]},
    )
