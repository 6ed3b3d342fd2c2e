"""The list of the Data screen in words: pure functions from folders, ticks and looks to rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.app import wording
from backprop_tui.app.draft_presets import DEMO
from backprop_tui.app.looks import Look
from backprop_tui.app.widgets.table_rows import Cell, Row
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.browse import Folder

_DATA, _FOLDER = "data:", "folder:"
TONES = {"ok": "good", "warn": "warn", "bad": "bad"}
#: Datasets used lately that are listed.
_RECENT = 6


def data_words(key: str) -> str | None:
    """The dataset a row stands for, None for folders."""
    return key.removeprefix(_DATA) if key.startswith(_DATA) else None


def folder_path(key: str) -> Path | None:
    """The folder a row stands for, None for datasets."""
    return Path(key.removeprefix(_FOLDER)) if key.startswith(_FOLDER) else None


def data_key(words: str) -> str:
    """The key of a dataset's row."""
    return f"{_DATA}{words}"


def home_words(path: str | Path) -> str:
    """A path with the home folder written as `~`, harmless."""
    text, home = str(path), str(Path.home())
    if home != "/" and (text == home or text.startswith(f"{home}/")):
        text = f"~{text[len(home) :]}"
    return safe_text(text, limit=400)


def folder_words(path: str | Path, width: int = 28) -> str:
    """The end of a folder's path, which tells more than its beginning."""
    words = home_words(path)
    return words if len(words) <= width else f"…{words[1 - width :]}"


class Browser:
    """Makes the rows of the list. A row is made anew only when its look or its weight is another one."""

    def __init__(self, ascii_only: bool) -> None:
        self._ascii = ascii_only
        self._made: dict[str, tuple[object, ...]] = {}

    def rows(
        self,
        folder: Folder | None,
        opened: Sequence[str],
        recent: Sequence[str],
        looks: Mapping[str, Look],
        weights: Mapping[str, float],
        mix: str,
    ) -> list[Row]:
        """The bundled dataset, what was opened or used lately, then the folder.

        Args:
            folder: the folder listed.
            opened: datasets named by hand.
            recent: datasets used lately.
            looks: what is known, by words.
            weights: of those that are ticked.
            mix: the mixture of these, or empty.
        """
        rows = [self._row(DEMO, "demo (bundled)", "jsonl", looks, weights)]
        if mix:
            rows.insert(0, self._row(mix, f"mix of {len(weights)}", "mix", looks, {}))
        seen = {DEMO, mix}
        shown = list(dict.fromkeys([*opened, *list(recent)[:_RECENT]]))
        # What is ticked stays in view when another folder is listed.
        inside = {str(entry.path) for entry in folder.entries} if folder else set()
        shown += [words for words in weights if words not in shown and words not in inside]
        shown = [words for words in shown if words not in seen]
        if shown:
            rows.append(Row("-recent", rule="opened and recent"))
        for words in shown:
            seen.add(words)
            name = wording.data_name(words, 200) if wording.is_mix(words) else home_words(words)
            rows.append(self._row(words, name, _kind(words), looks, weights))
        if folder is None:
            return rows
        rows.append(Row("-folder", rule=home_words(folder.path)))
        if folder.parent is not None:
            rows.append(Row(f"{_FOLDER}{folder.parent}", (Cell("../"), Cell(""), Cell(""), Cell(""), Cell(""))))
        for entry in folder.entries:
            path = str(entry.path)
            if entry.kind == "folder":
                weight = _tick(weights.get(path), self._ascii)
                rows.append(Row(f"{_FOLDER}{path}", (Cell(f"{weight}{safe_text(entry.name, limit=200)}/"),)))
            elif path not in seen:
                rows.append(self._row(path, entry.name, entry.extension[1:], looks, weights))
        if not folder.complete:
            rows.append(Row("-more", rule="too many entries, the rest is not listed"))
        return rows

    def _row(self, words: str, name: str, kind: str, looks: Mapping[str, Look], weights: Mapping[str, float]) -> Row:
        look, weight = looks.get(words), weights.get(words)
        known = self._made.get(words)
        if known is not None and known[0] is look and known[1:4] == (weight, name, kind):
            made = known[4]
            assert isinstance(made, Row)
            return made
        made = _data_row(words, f"{_tick(weight, self._ascii)}{safe_text(name, limit=200)}", kind, look, self._ascii)
        self._made[words] = (look, weight, name, kind, made)
        return made


def _tick(weight: float | None, ascii_only: bool) -> str:
    if weight is None:
        return ""
    sign = "+" if ascii_only else "✓"
    return f"{sign} " if weight == 1 else f"{sign} {weight:g}x "


def _kind(words: str) -> str:
    """What stands in the file column of a dataset that was named by hand."""
    if wording.is_mix(words):
        return "mix"
    base, _, field = words.rpartition("#")
    name = base if field and base.lower().endswith((".json", ".json.gz", ".json.zst")) else words
    if os.path.splitext(name)[1]:
        return os.path.splitext(name)[1].lstrip(".").lower()
    return "folder" if name.startswith("/") else "hub"


def _data_row(words: str, name: str, kind: str, look: Look, ascii_only: bool) -> Row:
    rows, sign, tone, says = Cell(""), "", "", ""
    if isinstance(look, str):
        rows, says, tone = Cell(look.removeprefix("looking, "), "muted"), look, "muted"
    elif isinstance(look, BackpropError):
        sign, tone, says = sign_of("bad", ascii_only), "bad", look.cause
    elif look is not None:
        rows = Cell(wording.count(look.rows), "", look.rows)
        sign, tone, says = sign_of(look.verdict, ascii_only), TONES[look.verdict], look.headline
        if len(look.formats) == 1:
            kind = f"{next(iter(look.formats))}"
        elif look.formats:
            kind = "mixed"
    return Row(
        data_key(words),
        (Cell(name), rows, Cell(safe_text(kind, limit=20), "muted"), Cell(sign, tone), Cell(safe_text(says), tone)),
    )


def sign_of(verdict: str, ascii_only: bool) -> str:
    """One cell: fine, worth a look, unusable."""
    return ({"ok": "+", "warn": "!", "bad": "x"} if ascii_only else {"ok": "✓", "warn": "!", "bad": "✗"})[verdict]
