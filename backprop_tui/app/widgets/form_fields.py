"""Fields of a form: what one is, on which lines they stand, and how one is written. Pure.

`●` marks what differs from the preset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets.lines import Line, fit, fit_middle

#: Cells of a field's title.
TITLE_WIDTH = 15
#: Fields whose two ends matter more than their middle.
_PATHS = frozenset({"base", "path", "eval_path"})


@dataclass(frozen=True, slots=True)
class FormField:
    """One field as shown. `text` is the value in words, `note` what the preset says where that differs.

    `edit` is the text an edit starts with; `choices` is true when ← → and Enter pick from a list.
    """

    key: str
    section: str
    title: str
    text: str
    edit: str = ""
    unit: str = ""
    note: str = ""
    changed: bool = False
    choices: bool = False


@dataclass(frozen=True, slots=True)
class FormLine:
    """One line of the form: a section's title, a blank, up to two fields by index, or the line that opens the rest."""

    kind: str
    title: str = ""
    fields: tuple[int, ...] = ()


def lay_out(fields: Sequence[FormField], columns: int, more: str) -> list[FormLine]:
    """The lines of a form in `columns` columns; `more` is the last line's words, empty for none."""
    lines: list[FormLine] = []
    if columns == 1:
        section = None
        for index, field in enumerate(fields):
            if field.section != section:
                if section is not None:
                    lines.append(FormLine("blank"))
                lines.append(FormLine("section", field.section))
                section = field.section
            lines.append(FormLine("fields", fields=(index,)))
    else:
        lines = [
            FormLine("fields", fields=tuple(range(start, min(start + columns, len(fields)))))
            for start in range(0, len(fields), columns)
        ]
    if more:
        lines += [FormLine("blank"), FormLine("more", more)]
    return lines


def paint_field(field: FormField, width: int, indent: int, signs: Glyphs, *, here: bool) -> Line:
    """What stands behind the cursor's bar: mark, title, value with the preset's where it fits, and the sign of choices.

    Args:
        field: what is written.
        width: cells of the field, the bar's two and two at the end included.
        indent: cells before the title, the bar's included; at least 4.
        signs: the glyphs that can be shown.
        here: whether the cursor is on it.
    """
    room = width - indent - TITLE_WIDTH - 1 - 2
    note = f"  (preset {field.note})" if field.note else ""
    value = f"{field.text} {field.unit}".rstrip()
    if len(value) + len(note) > room:
        note = ""
    value_text = fit_middle(value, room - len(note)) if field.key in _PATHS else fit(value, room - len(note))
    if note:
        value_text = fit(value, len(value))
    strong = "strong" if here else ""
    return [
        (f"{signs.follow} " if field.changed else "  ", "accent"),
        (" " * (indent - 4), ""),
        (fit(field.title, TITLE_WIDTH), "strong" if here else "muted"),
        (" ", ""),
        (value_text, f"{strong} {'accent' if field.changed else ''}".strip()),
        (fit(note, room - len(value_text)) if note else "", "muted"),
        (" v" if field.choices and signs.marks == "ascii" else " ▾" if field.choices else "  ", "muted"),
    ]
