"""Malformed and hostile data, built by code, each with the verdict it must end in.

`CASES` is the whole table; `build` writes one case into a folder of its own and gives the words to type. Nothing here knows
how a verdict is reached, so the same table serves the readers, the command and the screen.
"""

from __future__ import annotations

from pathlib import Path

from tests.unit.data.hostile.case import SECRET, Case, build
from tests.unit.data.hostile.columnar import COLUMNAR
from tests.unit.data.hostile.disguised import DISGUISED
from tests.unit.data.hostile.lines import LINES
from tests.unit.data.hostile.packed import PACKED
from tests.unit.data.hostile.places import PLACES
from tests.unit.data.hostile.rows import ROWS
from tests.unit.data.hostile.tables import TABLES

__all__ = ["CASES", "SECRET", "Case", "Path", "build"]

CASES: list[Case] = [*LINES, *ROWS, *TABLES, *PACKED, *COLUMNAR, *DISGUISED, *PLACES]
