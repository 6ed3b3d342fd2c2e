"""Datasets ticked to be mixed, each with its weight, and the words that name the mixture."""

from __future__ import annotations

from collections.abc import Callable

#: The weights that + and - go through.
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


class Mix:
    """Ticked datasets in the order they were ticked.

    Attributes:
        weights: how often each one's rows are taken, by its words.
    """

    def __init__(self) -> None:
        self.weights: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self.weights)

    def toggle(self, words: str) -> None:
        """Tick a dataset, or take its tick away."""
        if words in self.weights:
            del self.weights[words]
        else:
            self.weights[words] = 1.0

    def weigh(self, words: str, by: int) -> float:
        """The next greater or smaller weight of a dataset, which is ticked if it was not.

        Args:
            words: the dataset.
            by: 1 for greater, -1 for smaller.
        """
        if words not in self.weights:
            self.weights[words] = 1.0
        place = WEIGHTS.index(self.weights[words]) + by
        self.weights[words] = WEIGHTS[max(0, min(len(WEIGHTS) - 1, place))]
        return self.weights[words]

    def clear(self) -> None:
        """No ticks."""
        self.weights.clear()

    @property
    def words(self) -> str:
        """The mixture as a person would write it; empty without ticks."""
        return " + ".join(words if weight == 1 else f"{weight:g}x {words}" for words, weight in self.weights.items())

    @property
    def several(self) -> bool:
        """Whether this is more than one dataset as it is."""
        return len(self.weights) > 1 or any(weight != 1 for weight in self.weights.values())

    def rows(self, known: Callable[[str], int | None]) -> int | None:
        """Rows of the mixture, repeats included; None while a part's are not known.

        Args:
            known: gives the usable rows of a dataset by its words.
        """
        total = 0.0
        for words, weight in self.weights.items():
            rows = known(words)
            if rows is None:
                return None
            total += rows * weight
        return round(total)
