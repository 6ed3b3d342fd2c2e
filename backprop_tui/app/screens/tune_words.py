"""The Tune screen in words: pure functions from a draft to rows, fields and lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.draft import Draft
from backprop_tui.app.widgets.form_fields import FormField
from backprop_tui.app.widgets.lines import fit
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.table_rows import Cell, Row
from backprop_tui.config import paths
from backprop_tui.config.advice import RANKS
from backprop_tui.launch.estimate import Estimate
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.config.presets import Preset
    from backprop_tui.launch.plan.forecast import Forecast
    from backprop_tui.protocol.fields import Setting
    from backprop_tui.protocol.spec import RunSpec

_PICKED = frozenset({"base"})
_NOT_COMPARED = frozenset({"base", "path"})
#: What 0 means where it is not a number.
_ZERO = {
    "steps": "by epochs",
    "max_rows": "all",
    "early_stopping": "off",
    "max_grad_norm": "off",
    "neftune": "off",
    "eval_every": "only at the end",
    "save_every": "only at the end",
    "run_rows": "all, evenly",
    "lr_last": "as the first",
    "patience": "off",
    "cool_down": "none",
    "devices": "every GPU",
    "kl_weight": "off",
}
#: What an objective learns from, in the words of the launch dialog.
_LEARNS = {
    "sft": "from chats or text",
    "preference": "from pairs of answers",
    "unpaired": "from answers marked good or bad",
    "prompt": "from rewards of its own answers",
}


def preset_rows(presets: Mapping[str, Preset]) -> list[Row]:
    """The bundled presets, then the person's own under a heading."""
    from backprop_tui.config.presets import ADVISED

    rows: list[Row] = []
    for preset in presets.values():
        if not preset.bundled and not any(row.rule for row in rows):
            rows.append(Row("-yours", rule="yours"))
        settings = preset.settings
        method = str(settings.get("method", "lora"))
        rank = settings.get("rank", 32)
        # A rank that is left to advice is this or more.
        what = method if method == "full" else f"{method} r{RANKS[0]}+" if rank == ADVISED else f"{method} r{rank}"
        rows.append(
            Row(preset.name, (Cell(safe_text(preset.name, limit=60)), Cell(safe_text(what, limit=20), "muted")))
        )
    return rows


def form_fields(spec: RunSpec, base: RunSpec, *, advanced: bool) -> tuple[list[FormField], int]:
    """The form's fields that have an effect, in section order, and how many advanced ones are hidden."""
    from backprop_tui.protocol.effects import applies
    from backprop_tui.protocol.fields import SECTIONS, settings

    order = {title: number for number, (title, _) in enumerate(SECTIONS)}
    fields: list[FormField] = []
    hidden = 0
    for setting in sorted(settings(), key=lambda entry: order[entry.section]):
        if not applies(setting, spec):
            continue
        value, before = setting.get(spec), setting.get(base)
        changed = value != before and setting.key not in _NOT_COMPARED
        # A changed setting is never hidden: what would be launched must be in view.
        if setting.advanced and not advanced and not changed:
            hidden += 1
            continue
        text = setting_words(setting, value)
        if setting.key == "name" and not value:
            text = f"{safe_text(spec.title, limit=60)} (auto)"
        if setting.key == "reward_functions" and not value:
            text = "all of the file (auto)" if spec.grpo.reward_file else "similarity (auto)"
        fields.append(
            FormField(
                key=setting.key,
                section=setting.section,
                title=setting.title,
                text=text,
                edit=_edit_words(setting, value),
                unit="" if "%" in text or value in (None, 0) else _unit(setting.unit, value),
                note=setting_words(setting, before) if changed else "",
                changed=changed,
                choices=setting.kind in ("choice", "bool") or setting.key in _PICKED,
            )
        )
    return fields, hidden


def _unit(unit: str, value: Any) -> str:
    """`1 process`, `2 processes`; units that are signs, such as s, stay."""
    if value != 1 or len(unit) < 3 or not unit.endswith("s"):
        return unit
    return unit[:-2] if unit.endswith("sses") else unit[:-1]


def setting_words(setting: Setting, value: Any) -> str:
    """A value as shown: a word where 0 means something else than a number."""
    from backprop_tui.protocol.fields import format_value

    if value == 0 and not isinstance(value, bool) and setting.key in _ZERO:
        return _ZERO[setting.key]
    if setting.kind == "int" and isinstance(value, int) and setting.key != "seed":
        return wording.count(value)
    return safe_text(format_value(setting, value), limit=200)


def _edit_words(setting: Setting, value: Any) -> str:
    """A value as one would type it."""
    from backprop_tui.protocol.fields import format_value

    if value is None or value == "":
        return ""
    return safe_text(value) if setting.kind == "str" else format_value(setting, value).replace(" %", "%")


def help_line(setting: Setting | None, problem: str, width: int, note: str = "", advice: str = "") -> Line:
    """What the field under the cursor means, or what is wrong with what was typed.

    `note` is the preset's value; `advice` takes the place of the meaning where there is some.
    """
    if problem:
        return ((fit(f"! {problem}", width), "bad"),)
    if setting is None:
        return (("Enter shows or hides the rarely needed settings.", "muted"),)
    low, high = setting.minimum, setting.maximum
    span = ""
    if low is not None and high is not None:
        span = f"  {low:g} to {high:g}"
    elif low is not None:
        span = f"  from {low:g}"
    lead = f"{setting.title}: "
    before = f"preset {note}.  " if note else ""
    words = fit(advice or f"{setting.help}{span}", max(0, width - len(lead) - len(before)))
    return ((lead, "strong"), (before, "accent"), (words, "muted"))


def changes_lines(differences: Sequence[tuple[Setting, Any, Any]], width: int, height: int) -> list[Line]:
    """`learning rate  1.0e-4 → 2.0e-4`, one a line."""
    if not differences:
        return [(("Nothing differs from the preset.", "muted"),)]
    lines: list[Line] = []
    for setting, before, after in differences:
        title = min(16, width // 2)
        words = f"{setting_words(setting, before)} → {setting_words(setting, after)}"
        lines.append(((fit(setting.title, title), "muted"), (" ", "text"), (fit(words, width - title - 1), "text")))
    if len(lines) > height - 2:
        rest = len(lines) - (height - 3)
        lines = [*lines[: height - 3], ((f"and {rest} more", "muted"),)]
    return [*lines, (), (("y", "key"), ("  copy as TOML", "muted"))]


def launch_body(
    spec: RunSpec, draft: Draft, found: Estimate, plan: Forecast | None = None, problem: str = ""
) -> Content:
    """Exactly what will be started, what it is expected to take, and what the checks hold against it."""
    from backprop_tui.protocol.parts.task import ROWS_OF

    adapter = "all weights" if spec.model.method == "full" else f"rank {spec.lora.rank}, alpha {spec.lora.alpha}"
    total = plan.steps if plan is not None and plan.steps is not None else found.steps
    steps = "known after packing" if total is None and spec.data.packing else wording.count(total)
    differences = draft.differences()
    rows = [
        ("name", spec.title),
        ("model", spec.model.base),
        ("data", spec.data.path),
        ("preset", f"{spec.preset}, {len(differences)} changed" if differences else spec.preset),
        ("learns", f"{spec.task.objective}, {_LEARNS[ROWS_OF[spec.task.objective]]}"),
        ("method", f"{spec.model.method}, {adapter}"),
        *([("runs", _runs(spec))] if spec.multi.multi != "off" else []),
        ("steps", f"{steps}, {spec.effective_batch:,} rows each"),
        ("takes", _takes(plan)),
        ("saves", _every(spec.run.save_every, total) + f", newest {spec.run.keep} kept"),
        ("folder", str(paths.runs_dir())),
    ]
    lines = [
        Content.assemble((f"{name:<10}", "$bp-muted"), Content(safe_text(value, limit=200))) for name, value in rows
    ]
    for setting, before, after in differences[:8]:
        words = f"{setting.title}: {setting_words(setting, before)} → {setting_words(setting, after)}"
        lines.append(Content.assemble((" " * 10, ""), Content(safe_text(words, limit=100)).stylize("$bp-accent")))
    if problem:
        lines += [Content(""), Content(f"! {safe_text(problem, limit=300)}").stylize("$bp-bad")]
    lines += [Content(""), Content("It goes on when you leave; come back any time.")]
    return Content("\n").join(lines)


def _runs(spec: RunSpec) -> str:
    if spec.multi.multi == "windows":
        return f"{spec.multi.runs}, on slices of the data, merged by {spec.multi.merge}"
    return f"one for each dataset, merged by {spec.multi.merge}"


def _takes(plan: Forecast | None) -> str:
    if plan is None:
        return "being worked out"
    memory, seconds = plan.peak, plan.seconds
    time = "time known after some steps" if seconds is None else f"about {wording.duration(seconds)}"
    return f"{time}, {f'{wording.size(memory)} of memory' if memory is not None else 'memory not known'}"


def _every(value: float, steps: int | None) -> str:
    if value == 0:
        return "only at the end"
    if value < 1 and steps is None:
        return f"every {value * 100:g} % of the run"
    every = max(1, math.ceil((steps or 0) * value)) if value < 1 else int(value)
    return "after every step" if every == 1 else f"every {every:,} steps"


def find_words(text: str) -> Setting | None:
    """The setting that fits what was typed best: by its name, then by its help."""
    from backprop_tui.protocol.fields import settings

    words = text.casefold()
    key = words.replace(" ", "_")

    def rank(setting: Setting) -> int:
        title = setting.title.casefold()
        if key in (setting.key, setting.alias) or title == words:
            return 0
        if setting.key.startswith(key) or title.startswith(words):
            return 1
        if key in setting.key or words in title:
            return 2
        return 3 if words in setting.help.casefold() else 4

    best = min(settings(), key=rank)
    return best if rank(best) < 4 else None
