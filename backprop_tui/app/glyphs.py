"""The signs of the screens, in Unicode and in ASCII. Chosen once at start; every widget asks here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len

Marks = Literal["braille", "block", "ascii"]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs. `frame` is the six pieces of a box: corners clockwise from top left, then across and down."""

    marks: Marks
    frame: str
    focus: str
    bar_full: str
    bar_head: str
    bar_rest: str
    gauge_full: str
    gauge_rest: str
    spark: str
    eval_point: str
    axis: str
    tick: str
    corner: str
    dot: str
    dash: str
    ellipsis: str
    down: str
    up: str
    both: str
    cursor: str
    degree: str
    follow: str
    odd: str
    boundary: str


UNICODE = Glyphs(
    marks="braille", frame="╭╮╯╰─│", focus="▸", bar_full="━", bar_head="╸", bar_rest="─", gauge_full="█", gauge_rest="░",
    spark="▁▂▃▄▅▆▇█", eval_point="○", axis="│", tick="┤", corner="└", dot="·", dash="–", ellipsis="…", down="▼", up="▲",
    both="↔", cursor="▌", degree="°C", follow="●", odd="✗", boundary="╎",
)  # fmt: skip
#: For fonts whose braille dots are missing or of uneven width.
BLOCKS = replace(UNICODE, marks="block")
ASCII = Glyphs(
    marks="ascii", frame="++++-|", focus=">", bar_full="=", bar_head=">", bar_rest="-", gauge_full="#", gauge_rest=".",
    spark="_.-~=+*#", eval_point="o", axis="|", tick="+", corner="+", dot="-", dash="-", ellipsis="~", down="v", up="^",
    both="<>", cursor=">", degree=" C", follow="*", odd="x", boundary="|",
)  # fmt: skip


_STAND_INS = str.maketrans(
    {
        **dict(zip("·–—…×“”‘’━─│╸▌░█▁▂▃▄▅▆▇", "---~x\"\"''=-|>>.#_.-~=+*", strict=True)),
        **dict(zip("▸▾▴●○◐■‖┤└┊↑↓←→↵", ">v^*o~#=++:^v<>|", strict=True)),
        "✓": "+", "✗": "x", "±": "~", "°": " ", "⌫": "<", "⇧": "^", "λ": "l", "╎": "|",
    }
)  # fmt: skip


def to_ascii(text: str) -> str:
    """Text of the same width in ASCII only: known signs by their stand-ins, anything else as `?`."""
    if text.isascii():
        return text
    text = text.translate(_STAND_INS)
    return text if text.isascii() else "".join(sign if sign.isascii() else "?" * cell_len(sign) for sign in text)
