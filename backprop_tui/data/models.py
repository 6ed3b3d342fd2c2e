"""Model directories: finding one, checking it before anything expensive, and the few facts others need. No torch."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.data.rendering.template import find_template, read_config
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.text import safe_text

DEMO = "demo"
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_SHARD = re.compile(r"^[A-Za-z0-9._-]+\.safetensors$")
_INDEX = "model.safetensors.index.json"
_MAX_HEADER = 100 << 20


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model directory says about itself; None where it says nothing.

    Args:
        family: `model_type` of config.json, such as `qwen2`.
        hidden: width of the hidden state.
        layers: number of blocks.
        vocabulary: size of the embedding.
        context: longest sequence in tokens.
        parameters: number of weights, counted in the safetensors headers.
        dtype: number format most weights are stored in, such as `BF16`.
        bytes: size of the weights on disk.
    """

    family: str | None
    hidden: int | None
    layers: int | None
    vocabulary: int | None
    context: int | None
    parameters: int | None
    dtype: str | None
    bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return asdict(self)


def resolve_model(base: str, revision: str | None = None, *, need_template: bool = True) -> Path | None:
    """The directory meant by `demo`, a path or a hub id; it has been checked.

    Returns:
        None for a hub id that is not in the local cache: the worker downloads it.

    Raises:
        DataError: the directory lacks something, see `check_model_dir`; MODEL_MISSING when a path leads nowhere.
        UsageError: MODEL_NAME_INVALID, neither a path nor a hub id.
    """
    if base == DEMO:
        place = paths.demo_model_dir()
    else:
        place = Path(base).expanduser()
        if not place.is_dir():
            if place.exists():
                raise DataError(
                    "MODEL_NOT_A_DIRECTORY",
                    f"{safe_text(base)} is not a directory.",
                    "Name the directory that holds config.json.",
                )
            if base.startswith(("/", "./", "../", "~")) or base.endswith("/"):
                raise DataError("MODEL_MISSING", f"There is no model directory {safe_text(base)}.", "Check the path.")
            if not _HUB_ID.match(base):
                raise UsageError(
                    "MODEL_NAME_INVALID",
                    f"{safe_text(base)!r} is neither a directory nor a hub id.",
                    "Give a path, a hub id such as Qwen/Qwen2.5-0.5B-Instruct, or demo.",
                )
            cached = cached_snapshot(base, revision)
            if cached is None:
                return None
            place = cached
    place = place.absolute()
    check_model_dir(place, need_template=need_template)
    return place


def cached_snapshot(repo: str, revision: str | None = None) -> Path | None:
    """The newest fully named snapshot of a hub id in the local Hugging Face cache, None when there is none."""
    hub = Path(
        os.environ.get("HF_HUB_CACHE")
        or os.environ.get("HUGGINGFACE_HUB_CACHE")
        or Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    )
    folder = hub / f"models--{repo.replace('/', '--')}"
    wanted = revision or "main"
    if not _COMMIT.match(wanted):
        try:
            wanted = (folder / "refs" / wanted).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
    if not _COMMIT.match(wanted):
        return None
    place = folder / "snapshots" / wanted
    return place if (place / "config.json").is_file() else None


def check_model_dir(place: Path, *, need_template: bool = True) -> None:
    """Make sure a directory holds what training needs, in one-line errors.

    Raises:
        DataError: MODEL_NO_CONFIG, MODEL_CONFIG_BROKEN, MODEL_NO_TOKENIZER, MODEL_NO_CHAT_TEMPLATE,
            MODEL_NO_SAFETENSORS or MODEL_WEIGHTS_BROKEN.
    """
    name = safe_text(place)
    if not (place / "config.json").is_file():
        raise DataError("MODEL_NO_CONFIG", f"{name} has no config.json.", "Name the directory that holds the model.")
    read_config(place, "config.json")
    if not (place / "tokenizer.json").is_file():
        raise DataError("MODEL_NO_TOKENIZER", f"{name} has no tokenizer.json.", "Choose a model with a fast tokenizer.")
    if need_template and find_template(place) is None:
        raise DataError(
            "MODEL_NO_CHAT_TEMPLATE",
            f"{name} has no chat template.",
            "Choose an instruction-tuned model, or put a chat_template.jinja beside its tokenizer.",
        )
    for file in weight_files(place):
        _header(file)


def weight_files(place: Path) -> list[Path]:
    """The safetensors files of a model directory.

    Raises:
        DataError: none there, a part is missing, or the index names a file outside the directory.
    """
    name = safe_text(place)
    index = read_config(place, _INDEX)
    mapping = index.get("weight_map")
    if isinstance(mapping, dict):
        shards = sorted({str(shard) for shard in mapping.values()})
        for shard in shards:
            if not _SHARD.match(shard):
                raise DataError(
                    "MODEL_WEIGHTS_BROKEN",
                    f"{name} names weights outside its directory: {safe_text(shard, limit=80)}.",
                    "Don't use this model; get it from a source you trust.",
                )
            if not (place / shard).is_file():
                raise DataError("MODEL_WEIGHTS_BROKEN", f"{name} lacks its part {shard}.", "Download the model again.")
        return [place / shard for shard in shards]
    whole = place / "model.safetensors"
    if whole.is_file():
        return [whole]
    raise DataError(
        "MODEL_NO_SAFETENSORS",
        f"{name} has no weights in safetensors format.",
        "Convert the weights to safetensors; other formats can run code when loaded.",
    )


def model_facts(place: Path) -> ModelFacts:
    """Read config.json and the safetensors headers; anything missing is None.

    Raises:
        DataError: config.json is not a JSON object.
    """
    config = read_config(place, "config.json")
    # Models that also see pictures keep the text model's numbers in a part of their own.
    inner = config.get("text_config")
    words = {**config, **inner} if isinstance(inner, dict) else config
    parameters, dtype, size = _weights(place)
    return ModelFacts(
        family=config["model_type"] if isinstance(config.get("model_type"), str) else None,
        hidden=_whole(words, "hidden_size", "n_embd", "d_model"),
        layers=_whole(words, "num_hidden_layers", "n_layer", "num_layers"),
        vocabulary=_whole(words, "vocab_size"),
        context=_whole(words, "max_position_embeddings", "n_positions"),
        parameters=parameters,
        dtype=dtype,
        bytes=size,
    )


def _whole(words: dict[str, Any], *names: str) -> int | None:
    found = next((words[name] for name in names if isinstance(words.get(name), int)), None)
    return None if found is None or isinstance(found, bool) else int(found)


def _weights(place: Path) -> tuple[int | None, str | None, int | None]:
    try:
        files = weight_files(place)
        headers = [_header(file) for file in files]
        size = sum(file.stat().st_size for file in files)
    except (DataError, OSError):
        return None, None, None
    counts: dict[str, int] = {}
    for dtype, count in (entry for header in headers for entry in _tensors(header)):
        counts[dtype] = counts.get(dtype, 0) + count
    if not counts:
        return None, None, size
    return sum(counts.values()), max(counts, key=lambda dtype: counts[dtype]), size


def _tensors(header: dict[str, Any]) -> Iterable[tuple[str, int]]:
    for name, entry in header.items():
        if name != "__metadata__" and isinstance(entry, dict) and isinstance(entry.get("shape"), list):
            yield str(entry.get("dtype")), math.prod(int(side) for side in entry["shape"])


def _header(file: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: an 8-byte little-endian length, then that many bytes."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _MAX_HEADER:
                raise ValueError("header too long")
            words = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in words.items() if name != "__metadata__"]
            if 8 + length + max(ends, default=0) > file.stat().st_size:
                raise ValueError("cut short")
    except (OSError, ValueError, struct.error, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise DataError(
            "MODEL_WEIGHTS_BROKEN", f"{safe_text(file)} is damaged or incomplete.", "Download the model again."
        ) from None
    return dict(words)
