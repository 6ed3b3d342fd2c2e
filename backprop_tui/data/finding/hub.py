"""Datasets of the Hugging Face hub: found, pinned to a commit, and kept in the hub's own cache.

What was fetched once is there again without a network. A note of the files a commit holds is kept beside our own caches,
so that a download that was broken off is never taken for the whole dataset.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from backprop_tui.config import paths
from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.data.finding.hub_errors import refusals, told, unreachable
from backprop_tui.data.finding.hub_files import CONVERTED, choose, missing_shards, no_rows, readable
from backprop_tui.data.sources import extension_of
from backprop_tui.protocol.errors import BackpropError, DataError, UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text

OnFile = Callable[[str, int, int], None]
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]+)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_PAGE = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/(.+)")
_SHA = re.compile(r"[0-9a-f]{40}")
_MAIN = "main"
_CARD = "README.md"
_CARD_LIMIT = 4 << 20
#: Seconds to wait for the hub to say what a dataset holds.
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Named:
    """A dataset by name: its id, the revision asked for (None is the newest), and a file, folder or pattern in it."""

    repo: str
    revision: str | None = None
    path: str = ""

    @property
    def words(self) -> str:
        """The repository and revision as they can be typed, without the path."""
        return f"hf://datasets/{self.repo}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files on this machine, the commit they are from, and what was left out."""

    files: tuple[Path, ...]
    revision: str
    skipped: tuple[tuple[Path, str], ...] = ()


def looks_like_id(words: str) -> bool:
    """Whether words have the form `org/name` or `org/name@revision`."""
    return _ID.fullmatch(words) is not None


def parse(words: str) -> Named | None:
    """The dataset that words name, None when they name none.

    A bare `org/name` counts only if it can't be meant as a path: no ending of a data file, no folder `org`.

    Raises:
        UsageError: DATA_WORDS_INVALID, the words begin like an address and name no dataset.
    """
    if page := _PAGE.fullmatch(words):
        repo, _, rest = (
            page[1].partition("/tree/")
            if "/tree/" in page[1]
            else re.sub("/(blob|resolve)/", "\0", page[1]).partition("\0")
        )
        revision, _, path = rest.partition("/")
        return _checked(repo.strip("/"), unquote(revision), unquote(path), words)
    if words.startswith("hf://"):
        if not words.startswith("hf://datasets/"):
            raise _invalid(words, "Paths of the hub begin with hf://datasets/.")
        return _split(words.removeprefix("hf://datasets/"), words)
    if re.match(r"[a-z][a-z0-9+.-]*://", words):
        raise _invalid(words, "Download it, and name the file.")
    if looks_like_id(words) and not extension_of(words) and not os.path.isdir(words.partition("/")[0]):
        return _split(words, words)
    return None


def fetch(named: Named, *, on_file: OnFile | None = None) -> Fetched:
    """The training files of a dataset, from the cache where they are in it.

    Args:
        named: what to fetch.
        on_file: told (name, done, in all) before each file.

    Raises:
        DataError: HUB_NOT_FOUND, HUB_REVISION_MISSING, HUB_FILE_MISSING, HUB_NO_ROWS, HUB_SEVERAL_CONFIGS or
            HUB_SEVERAL_SPLITS.
        UnavailableError: HUB_UNREACHABLE, HUB_GATED, HUB_DENIED, HUB_NO_SPACE.
        TryAgainError: HUB_BUSY.
    """
    refuse_if_view_only()
    _quiet()
    revision, files, away = _listing(named)
    if not readable(files) and named.revision is None:
        named = Named(named.repo, CONVERTED, named.path)
        try:
            revision, files, away = _listing(named)
        except DataError:
            raise no_rows(Named(named.repo).words) from None
    card = {} if named.path or _CARD not in files else _card(_download(named, _CARD, revision, away))
    choice = choose(readable(files), card, named.path, named.words)
    if not away:
        _check_space(named, revision, {name: files[name] for name in choice.names})
    got: list[Path] = []
    for name in choice.names:
        if on_file is not None:
            on_file(safe_text(name), len(got), len(choice.names))
        got.append(_download(named, name, revision, away))
    return Fetched(tuple(got), revision, tuple((Path(name), reason) for name, reason in choice.skipped))


def _listing(named: Named) -> tuple[str, dict[str, int], bool]:
    """The commit, the names and sizes of its files, and whether the hub is away and they are as noted before."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    asked = named.revision or _MAIN
    try:
        if _SHA.fullmatch(asked) and (known := _noted(named)) is not None:
            return *known, False
        api = HfApi()
        revision = api.dataset_info(named.repo, revision=asked, timeout=_PATIENCE).sha or asked
        tree = api.list_repo_tree(named.repo, recursive=True, revision=revision, repo_type="dataset")
        files = {item.path: item.size or 0 for item in tree if isinstance(item, RepoFile)}
    except refusals() as error:
        problem = told(error, named.words)
        if problem.code != "HUB_UNREACHABLE":
            raise problem from None
        known = _noted(named) or _in_cache(named)
        if known is None:
            raise problem from None
        return *known, True
    files = {name: files[name] for name in [*readable(files), *([_CARD] if _CARD in files else [])]}
    _note(named, revision, files)
    return revision, files, False


def _download(named: Named, name: str, revision: str, away: bool) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(named.repo, name, repo_type="dataset", revision=revision, local_files_only=away))
    except refusals() as error:
        raise told(error, f"{named.words}/{name}") from None


def _card(path: Path) -> Mapping[str, Any]:
    """The head of a README; nothing if it can't be read, for then custom decides."""
    from huggingface_hub import metadata_load

    try:
        if path.stat().st_size > _CARD_LIMIT:
            return {}
        return metadata_load(path) or {}
    except Exception:  # the YAML library is not ours to name, and a broken head says nothing about the rows
        return {}


def _check_space(named: Named, revision: str, sizes: Mapping[str, int]) -> None:
    from huggingface_hub import constants, try_to_load_from_cache

    missing = [
        size
        for name, size in sizes.items()
        if not isinstance(try_to_load_from_cache(named.repo, name, revision=revision, repo_type="dataset"), str)
    ]
    place = Path(constants.HF_HUB_CACHE)
    while not place.exists() and place.parent != place:
        place = place.parent
    free = shutil.disk_usage(place).free
    if sum(missing) > free:
        raise UnavailableError(
            "HUB_NO_SPACE",
            f"{safe_text(named.words)} needs {sum(missing):,} bytes; {safe_text(place)} has {free:,}.",
            "Free some space, choose fewer files, or set HF_HOME to another disk.",
        )


def _note_place(named: Named) -> Path:
    return paths.cache_dir() / "hub" / f"{quote(f'{named.repo}@{named.revision or _MAIN}', safe='')}.json"


def _note(named: Named, revision: str, files: Mapping[str, int]) -> None:
    for asked in (named.revision, revision):
        place = _note_place(Named(named.repo, asked))
        aside = place.with_suffix(f".{os.getpid()}.tmp")
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            aside.write_text(json.dumps({"revision": revision, "files": files}))
            aside.replace(place)
        except OSError:
            # Only the next time without a network is the poorer for it.
            return


def _noted(named: Named) -> tuple[str, dict[str, int]] | None:
    try:
        noted = json.loads(_note_place(named).read_text())
        files = {str(name): int(size) for name, size in noted["files"].items()}
        return str(noted["revision"]), files
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _in_cache(named: Named) -> tuple[str, dict[str, int]] | None:
    """What another program left of the dataset in the hub's cache.

    Raises:
        UnavailableError: HUB_UNREACHABLE, numbered parts are missing from it.
    """
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"datasets--{named.repo.replace('/', '--')}"
    asked = named.revision or _MAIN
    try:
        revision = asked if _SHA.fullmatch(asked) else (folder / "refs" / asked).read_text().strip()
    except (OSError, ValueError):
        return None
    root = folder / "snapshots" / revision
    if not _SHA.fullmatch(revision) or not root.is_dir():
        return None
    sizes = {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    if lacking := missing_shards(readable(sizes)):
        raise unreachable(named.words, f"and {len(lacking):,} of its files are not in the cache")
    return (revision, sizes) if readable(sizes) else None


def _split(rest: str, words: str) -> Named:
    """`org/name@revision/path`, `org/name/path`, or an old dataset without an organisation."""
    if "@" in rest:
        repo, _, tail = rest.partition("@")
        special = re.match(r"(refs/(?:convert|pr)/[^/]+)(?:/(.*))?$", tail)
        revision, path = (special[1], special[2] or "") if special else tuple(tail.partition("/")[::2])
        if not revision:
            raise _invalid(words, "A revision follows the @.")
        return _checked(repo, unquote(revision), path, words)
    pieces = rest.rstrip("/").split("/", 2)
    return _checked("/".join(pieces[:2]), "", pieces[2] if len(pieces) > 2 else "", words)


def _checked(repo: str, revision: str, path: str, words: str) -> Named:
    parts = repo.split("/")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts) or ".." in repo or "--" in repo:
        raise _invalid(words, "Write hf://datasets/org/name, then @revision or /path.")
    if ".." in path.split("/") or ".." in revision.split("/"):
        raise _invalid(words, "A path of the hub can't hold `..`.")
    return Named(repo, revision or None, path)


def _invalid(words: str, next_step: str) -> BackpropError:
    return UsageError("DATA_WORDS_INVALID", f"{safe_text(words, limit=200)} names no dataset.", next_step)


def _quiet() -> None:
    """Keep the library's bars and warnings off a screen that is drawn by others."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS") is None:
        disable_progress_bars()
