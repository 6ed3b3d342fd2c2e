"""The list of presets: a column where there is room, one line of names where there is not."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.strip import Strip

from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.app.widgets.table_rows import Column


class PresetTable(LiveTable):
    """Moving the cursor chooses. As a strip (one line high) ← → move as well."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Previous preset", show=False),
        Binding("right,l", "move(1)", "Next preset", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__([Column("name", "", 10, flex=True), Column("what", "", 9, "right")], heading=False, id=id)

    @property
    def strip(self) -> bool:
        """Whether there is one line only."""
        return self.size.height == 1

    def repaint_line(self, index: int) -> None:
        """In a strip every name may have moved."""
        if self.strip:
            self.refresh()
        else:
            super().repaint_line(index)

    def reveal(self, index: int) -> None:
        """A strip scrolls by itself."""
        if not self.strip:
            super().reveal(index)

    def render_line(self, y: int) -> Strip:
        """The names in one line, the chosen one in brackets, or the table's row."""
        if not self.strip:
            return super().render_line(y)
        names = [(row.cells[0].text, row is self.current) for row in self.shown if row.rule is None]
        words = [f"[{name}]" if here else f" {name} " for name, here in names]
        first = 0
        chosen = next((number for number, (_, here) in enumerate(names) if here), 0)
        while first < chosen and sum(cell_len(word) + 1 for word in words[first : chosen + 1]) > self.size.width - 2:
            first += 1
        pieces: list[tuple[str, str]] = [("  ", "")]
        for word, (_, here) in list(zip(words, names, strict=True))[first:]:
            pieces.append((f"{word} ", ("strong focus" if self.has_focus else "strong") if here else "muted"))
        return self.strip_of(pieces)
