"""The Data screen in words: pure functions from folders and inspections to rows and lines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.app import wording
from backprop_tui.app.draft import DEMO
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.looks import Look
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.table import Cell, Row
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.browse import Folder
    from backprop_tui.data.inspection import Inspection

_DATA, _FOLDER = "data:", "folder:"
_TONES = {"ok": "good", "warn": "warn", "bad": "bad"}


def data_path(key: str) -> str | None:
    """The dataset a row stands for, None for folders."""
    return key.removeprefix(_DATA) if key.startswith(_DATA) else None


def folder_path(key: str) -> Path | None:
    """The folder a row stands for, None for datasets."""
    return Path(key.removeprefix(_FOLDER)) if key.startswith(_FOLDER) else None


def data_key(path: str) -> str:
    """The key of a dataset's row."""
    return f"{_DATA}{path}"


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


def browser_rows(
    folder: Folder | None, recent: Sequence[str], looks: Mapping[str, Look], ascii_only: bool
) -> list[Row]:
    """The bundled dataset, recent files, then the folder."""
    rows = [_data_row(DEMO, "demo (bundled)", "jsonl", looks.get(DEMO), ascii_only)]
    seen = {DEMO}
    shown = [path for path in recent if path != DEMO][:6]
    if shown:
        rows.append(Row("-recent", rule="recent"))
    for path in shown:
        seen.add(path)
        rows.append(_data_row(path, home_words(path), _extension(path), looks.get(path), ascii_only))
    if folder is None:
        return rows
    rows.append(Row("-folder", rule=home_words(folder.path)))
    if folder.parent is not None:
        rows.append(Row(f"{_FOLDER}{folder.parent}", (Cell("../"), Cell(""), Cell(""), Cell(""), Cell(""))))
    for entry in folder.entries:
        path = str(entry.path)
        if entry.kind == "folder":
            rows.append(Row(f"{_FOLDER}{path}", (Cell(f"{safe_text(entry.name, limit=200)}/"),)))
        elif path not in seen:
            rows.append(
                _data_row(path, safe_text(entry.name, limit=200), entry.extension[1:], looks.get(path), ascii_only)
            )
    if not folder.complete:
        rows.append(Row("-more", rule="too many entries, the rest is not listed"))
    return rows


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lstrip(".").lower()


def _data_row(path: str, name: str, extension: str, look: Look, ascii_only: bool) -> Row:
    rows, sign, tone, says = Cell(""), "", "", ""
    if isinstance(look, str):
        says, tone = look, "muted"
    elif isinstance(look, BackpropError):
        sign, tone, says = sign_of("bad", ascii_only), "bad", look.cause
    elif look is not None:
        rows = Cell(wording.count(look.rows), "", look.rows)
        sign, tone, says = sign_of(look.verdict, ascii_only), _TONES[look.verdict], look.headline
    return Row(
        data_key(path),
        (Cell(name), rows, Cell(safe_text(extension, limit=8), "muted"), Cell(sign, tone), Cell(safe_text(says), tone)),
    )


def sign_of(verdict: str, ascii_only: bool) -> str:
    """One cell: fine, worth a look, unusable."""
    return ({"ok": "+", "warn": "!", "bad": "x"} if ascii_only else {"ok": "✓", "warn": "!", "bad": "✗"})[verdict]


def check_lines(look: Look, width: int, ascii_only: bool, *, with_tokens: bool, spark: str) -> list[Line]:
    """What was found in a file: one line a check, then the first problems with their places."""
    if look is None:
        return [(("Not looked at yet.", "muted"),)]
    if isinstance(look, str):
        return [((look, "muted"),)]
    if isinstance(look, BackpropError):
        bad = sign_of("bad", ascii_only)
        lines: list[Line] = [((f"{bad} ", "bad"), (safe_text(look.code), "bad"))]
        lines += [((line, "text"),) for line in wrap(look.cause, width)]
        return lines + [((line, "muted"),) for line in wrap(look.next_step, width)]
    lines = []

    def check(verdict: str, words: str) -> None:
        sign = sign_of(verdict, ascii_only)
        for number, line in enumerate(wrap(words, width - 2)):
            lines.append(((f"{sign if not number else ' '} ", _TONES[verdict]), (line, "text")))

    if with_tokens:
        lines.append(tokens_line(look, width, spark))
    for problem in [problem for problem in look.problems if problem.severity == "error"][:3]:
        check("bad", f"{problem.where}: {problem.cause} ({problem.code})")
    if look.formats:
        names = ", ".join(f"{name} {count:,}" for name, count in look.formats.most_common(3))
        check("ok", f"format {names}" if len(look.formats) > 1 else f"format {look.formats.most_common(1)[0][0]}")
    for reason, count in look.dropped.most_common():
        check("bad" if reason == "damaged" or not look.kept else "warn", f"{wording.rows(count)} left out: {reason}")
    if not look.dropped:
        check("ok", f"all {look.rows:,} rows can be used")
    if look.duplicates:
        check("warn", f"{look.duplicates:,} exact duplicates ({wording.percent(look.duplicates / max(1, look.kept))})")
    else:
        check("ok", "no exact duplicates")
    if look.max_length and look.tokens:
        if look.cut_rows:
            lost = f"{wording.rows(look.cut_rows)} longer than {look.max_length:,} tokens cut"
            check("warn", f"{lost}, {wording.short_count(look.cut_tokens)} tokens lost")
        else:
            check("ok", f"every row fits {look.max_length:,} tokens")
    if look.quoted:
        check("warn", f"{wording.rows(look.quoted)} with control tokens in the text, read as plain text")
    if look.trained_share is not None:
        check("ok", f"{wording.percent(look.trained_share)} of the tokens are trained on")
    if not look.complete:
        check("warn", "the look was ended early")
    for problem in [problem for problem in look.problems if problem.severity != "error"][:50]:
        where = f"{problem.where}: " if problem.where else ""
        lines += [((line, "warn"),) for line in wrap(f"{where}{problem.cause} ({problem.code})", width)]
    return lines


def tokens_line(look: Inspection, width: int, spark: str) -> Line:
    """Lengths in one line with a small histogram."""
    stats, unit = (look.tokens, "tokens") if look.tokens else (look.characters, "characters")
    if stats is None:
        return (("no lengths known", "muted"),)
    words = f"{unit}  p50 {stats.p50:,}  p95 {stats.p95:,}  max {stats.longest:,}   "
    room = max(0, min(48, width - len(words)))
    return ((words, "text"), (histogram(stats.histogram, room, 1, spark)[0] if room else "", "series-1"))


def tokens_lines(look: Look, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Percentiles, then a histogram with its axis."""
    if look is None or isinstance(look, (str, BackpropError)):
        return [(("–", "muted"),)]
    stats, unit = (look.tokens, "tokens") if look.tokens else (look.characters, "characters")
    if stats is None:
        return [(("–", "muted"),)]
    fits = ""
    if look.tokens and look.max_length and look.kept:
        fits = f"    fits {look.max_length:,}: {wording.percent(1 - look.cut_rows / look.kept)}"
    head: Line = (
        ("p50 ", "muted"), (f"{stats.p50:,}", "strong"), ("   p95 ", "muted"), (f"{stats.p95:,}", "strong"),
        ("   max ", "muted"), (f"{stats.longest:,}", "strong"), (f" {unit}{fits}", "muted"),
    )  # fmt: skip
    room = max(1, height - 3)
    lines: list[Line] = [head, ()]
    lines += [((line, "series-1"),) for line in histogram(stats.histogram, width, room, glyphs.spark)]
    middle, end = f"{stats.longest // 2:,}", f"{stats.longest:,}"
    gap = max(1, width // 2 - 1 - len(middle) // 2)
    axis = f"0{' ' * gap}{middle}"
    lines.append(((axis + end.rjust(max(1, width - len(axis))), "muted"),))
    return lines[:height]


def histogram(buckets: Sequence[tuple[int, int]], width: int, height: int, spark: str) -> list[str]:
    """Bars over `width` columns and `height` lines; a bucket with any rows at all is never invisible."""
    if not buckets or width <= 0:
        return [""] * height
    most = max(count for _, count in buckets)
    levels = len(spark) * height
    columns = []
    for x in range(width):
        count = buckets[x * len(buckets) // width][1]
        columns.append(0 if count == 0 else max(1, round(count / most * levels)))
    lines = []
    for y in range(height - 1, -1, -1):
        cells = (min(len(spark), max(0, column - y * len(spark))) for column in columns)
        lines.append("".join(spark[cell - 1] if cell else " " for cell in cells))
    return lines
