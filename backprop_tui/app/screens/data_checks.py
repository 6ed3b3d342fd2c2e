"""What was found in a dataset, in words and bars: one line a check, and the key that mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.looks import Look
from backprop_tui.app.screens.data_words import TONES, sign_of
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.painted import Line
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.looking.findings import Inspection

SEVERAL_LISTS = "DATA_SEVERAL_LISTS"
#: Settings of the data that are changed here, and how the recipe line names them.
RECIPE = {
    "columns": "mapping", "filter": "filter", "duplicates": "{} duplicates dropped", "damaged": "damaged rows dropped",
    "max_rows": "{:,} rows at most", "eval_split": "{:.3g} held out", "group_by": "split by {}", "order": "{}",
}  # fmt: skip


def recipe_words(settings: Mapping[str, Any], dot: str) -> str:
    """What is set of the data, as `filter · exact duplicates dropped · curriculum`; empty when nothing is."""
    words = []
    for key, pattern in RECIPE.items():
        value = settings.get(key)
        if value in (None, "", 0, "keep", "refuse", "shuffled"):
            continue
        words.append(safe_text(pattern.format(value), limit=60))
    return f" {dot} ".join(words)


class _Lines:
    """Check lines of one width."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.lines: list[Line] = []
        self._width = width
        self._ascii = ascii_only

    def check(self, verdict: str, words: str, key: str = "", mends: str = "") -> None:
        """A sign, the words, and the key that mends it at the right where there is room, else on its own line."""
        sign = sign_of(verdict, self._ascii)
        hint: Line = ((f"{key} ", "key"), (mends, "muted")) if key else ()
        room = self._width - 2 - (len(key) + len(mends) + 4 if key else 0)
        parts = wrap(words, max(12, room))
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            tail: Line = (("   ", "text"), *hint) if last and hint else ()
            self.lines.append(((f"{sign if not number else ' '} ", TONES[verdict]), (part, "text"), *tail))

    def say(self, words: str, tone: str) -> None:
        """Words without a sign."""
        self.lines += [((line, tone),) for line in wrap(words, self._width)]


def check_lines(
    look: Look,
    width: int,
    ascii_only: bool,
    *,
    with_tokens: bool,
    spark: str,
    settings: Mapping[str, Any] | None = None,
    recipe: str = "",
    counted: tuple[str, str] | None = None,
) -> list[Line]:
    """What was found in a dataset: one line a check, then the first problems with their places.

    Args:
        look: what is known of it.
        width: cells of a line.
        ascii_only: signs in ASCII.
        with_tokens: whether lengths are said here.
        spark: signs of bars.
        settings: what is set of the data, by key.
        recipe: the same in words.
        counted: what it makes of the rows, as a verdict and words.
    """
    settings = settings or {}
    out = _Lines(width, ascii_only)
    if look is None:
        out.say("Not looked at yet.", "muted")
        return out.lines
    if isinstance(look, str):
        out.say(look if look != "stopped" else "The look was stopped.  Enter or moving back looks again.", "muted")
        return out.lines
    if isinstance(look, BackpropError):
        out.lines.append(((f"{sign_of('bad', ascii_only)} ", "bad"), (safe_text(look.code), "bad")))
        out.say(look.cause, "text")
        if look.code == SEVERAL_LISTS:
            out.lines.append((("e ", "key"), ("chooses the list", "muted")))
        elif look.code.startswith(("DATA_FORMAT", "DATA_COLUMN")):
            out.lines.append((("e ", "key"), ("says which column is what", "muted")))
        out.say(look.next_step, "muted")
        return out.lines
    if recipe:
        out.check("ok", f"set: {recipe}", "T", "tools")
    if counted is not None:
        out.check(*counted)
    if with_tokens and look.kept:
        out.lines.append(tokens_line(look, width, spark))
    _left_out(out, look, settings)
    for problem in [problem for problem in look.problems if problem.severity == "error"][:3]:
        value = f" Here: {safe_text(problem.value, limit=80)}" if problem.value else ""
        out.check("bad", f"{problem.where}: {problem.cause}{value} ({problem.code})")
    _rows(out, look, settings)
    _tokens(out, look)
    if look.sensitive:
        kinds = ", ".join(f"{safe_text(kind, limit=40)} {count:,}" for kind, count in look.sensitive.most_common(6))
        out.check("warn", f"may hold personal data or secrets: {kinds} (rows)")
    if not look.complete:
        out.check("warn", "the look was ended early")
    for problem in [problem for problem in look.problems if problem.severity != "error"][:50]:
        where = f"{problem.where}: " if problem.where else ""
        value = f" Here: {safe_text(problem.value, limit=60)}" if problem.value else ""
        out.say(f"{where}{problem.cause}{value} ({problem.code})", "warn")
    return out.lines


def _left_out(out: _Lines, look: Inspection, settings: Mapping[str, Any]) -> None:
    """Rows that are not used, by reason, with the key that mends it."""
    drops = settings.get("damaged") == "drop"
    for reason, count in look.dropped.most_common():
        words = f"{wording.rows(count)} left out: {safe_text(reason, limit=80)}"
        if reason == "damaged":
            out.check("warn" if drops else "bad", words, "x", "refuses them again" if drops else "drops them")
        elif "format" in reason or "column" in reason:
            out.check("warn" if look.kept else "bad", words, "e", "mapping")
        else:
            out.check("warn" if look.kept else "bad", words)


def _rows(out: _Lines, look: Inspection, settings: Mapping[str, Any]) -> None:
    """Formats and repeated rows."""
    if look.formats:
        names = ", ".join(f"{name} {count:,}" for name, count in look.formats.most_common(3))
        words = names if len(look.formats) > 1 else look.formats.most_common(1)[0][0]
        purpose = f", for {_PURPOSES[look.purpose]}" if look.purpose in _PURPOSES else ""
        out.check("ok", f"format {words}{purpose}", *(("e", "mapping") if settings.get("columns") else ()))
    if not look.dropped:
        out.check("ok", f"all {look.rows:,} rows can be used")
    chosen = settings.get("duplicates", "keep")
    if chosen == "near":
        out.check("ok", f"repeated and nearly repeated rows are dropped ({look.duplicates:,} exact)", "d", "keeps them")
    elif chosen == "exact":
        out.check("ok", f"{look.duplicates:,} exact duplicates are dropped", "d", "drops near ones too")
    elif look.duplicates:
        share = wording.percent(look.duplicates / max(1, look.kept))
        out.check("warn", f"{look.duplicates:,} exact duplicates ({share})", "d", "drops them")
    else:
        out.check("ok", "no exact duplicates")


def _tokens(out: _Lines, look: Inspection) -> None:
    """What fits, what is learnt, and what packing would do."""
    if look.max_length and look.tokens:
        if look.cut_rows:
            lost = f"{wording.rows(look.cut_rows)} longer than {look.max_length:,} tokens cut"
            out.check("warn", f"{lost}, {wording.short_count(look.cut_tokens)} tokens lost", "b", "next")
        else:
            out.check("ok", f"every row fits {look.max_length:,} tokens")
    if look.quoted:
        out.check("warn", f"{wording.rows(look.quoted)} with control tokens in the text, read as plain text")
    if look.trained_share is not None:
        share = wording.percent(look.trained_share)
        if not look.trained_tokens:
            out.check("bad", "no token would be trained on: the mask leaves nothing to learn")
        elif look.all_trained:
            out.check("bad", "every token would be trained on, prompts too: the mask masks nothing")
        else:
            out.check("ok", f"{share} of the tokens are trained on")
    if look.packing is not None and look.packing.rows_per_sequence > 1.05:
        padding = wording.percent(look.packing.padding)
        out.check(
            "ok",
            f"packing would put {look.packing.rows_per_sequence:.1f} rows into a sequence and save {padding} padding",
        )


_PURPOSES = {
    "preference": "preference tuning",
    "unpaired": "labelled answers (KTO)",
    "prompt": "prompts to be answered",
}


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
