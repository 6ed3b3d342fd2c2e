"""The fingerprint of a dataset as labelled lines, for `backprop show` and whoever else shows one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backprop_tui.cli import words
from backprop_tui.protocol.text import safe_text

#: Files and reasons listed one by one.
_MOST = 8
_DIGEST = 12


def dataset_facts(fingerprint: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(label, text) pairs; all text is harmless, and what a damaged file does not say is left out."""
    if not fingerprint:
        return
    yield "dataset", safe_text(fingerprint.get("id", words.UNKNOWN), limit=40)
    for described, called in zip(_mappings(fingerprint.get("sources")), ("", "held out, "), strict=False):
        yield from _set_facts(described, called)
    dropped = fingerprint.get("dropped")
    if isinstance(dropped, Mapping):
        for reason, count in list(dropped.items())[:_MOST]:
            yield "left out", f"{_count(count)}  {safe_text(reason, limit=80)}"
    train, held = fingerprint.get("train"), fingerprint.get("eval")
    if isinstance(train, Mapping) and isinstance(held, Mapping):
        share = fingerprint.get("settings")
        by = f", eval_split {safe_text(share.get('eval_split'), limit=20)}" if isinstance(share, Mapping) else ""
        seed = f"seed {safe_text(fingerprint.get('seed'), limit=20)}"
        yield "split", f"{_count(train.get('rows'))} to learn, {_count(held.get('rows'))} held out  ({seed}{by})"
        if isinstance(quantiles := train.get("quantiles"), Mapping) and quantiles:
            shown = ", ".join(f"{safe_text(name, limit=8)} {_count(value)}" for name, value in quantiles.items())
            yield "row tokens", f"{shown}, {_count(train.get('tokens'))} in all"
    for key, label in (("template", "template"), ("tokenizer", "tokenizer")):
        if fingerprint.get(key):
            yield label, f"sha256 {safe_text(fingerprint[key], limit=200)[:_DIGEST]}"


def _set_facts(described: Mapping[str, Any], called: str) -> Iterator[tuple[str, str]]:
    rows = f"{called}{_count(described.get('usable'))} of {_count(described.get('rows'))} rows usable"
    label = "sources"
    for source in _mappings(described.get("sources")):
        files = _mappings(source.get("files"))
        weight = source.get("weight")
        mixed = f"{weight:g}x " if isinstance(weight, int | float) and weight != 1 else ""
        revision = source.get("revision")
        commit = f"  commit {safe_text(revision, limit=200)[:_DIGEST]}" if revision else ""
        for file in files[:_MOST]:
            digest = safe_text(file.get("sha256"), limit=200)[:_DIGEST]
            size = file.get("bytes")
            facts = f"{words.size(size) if isinstance(size, int) else words.UNKNOWN}  sha256 {digest}{_known(file)}"
            yield label, f"{called}{mixed}{safe_text(file.get('name'), limit=120)}  {facts}{commit}"
            label = ""
        if len(files) > _MOST:
            yield label, f"{called}and {words.count(len(files) - _MOST)} more files"
    yield "", rows


def _known(file: Mapping[str, Any]) -> str:
    """What git and DVC say of a file."""
    said = ""
    git, dvc = file.get("git"), file.get("dvc")
    if isinstance(git, Mapping):
        said += f"  git {safe_text(git.get('commit'), limit=200)[:_DIGEST]} {safe_text(git.get('state'), limit=20)}"
    if isinstance(dvc, Mapping):
        fresh = {True: "as pinned", False: "differs from its pin"}.get(bool(dvc.get("fresh")))
        said += f"  dvc {'pinned' if dvc.get('fresh') is None else fresh}"
    return said


def _count(value: object) -> str:
    return words.count(value) if isinstance(value, int | float) else words.UNKNOWN


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
