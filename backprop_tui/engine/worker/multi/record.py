"""What a multi-run remembers between its runs besides the merger's tensors; saved in every checkpoint as `runs.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from backprop_tui.protocol.errors import DataError
from backprop_tui.store.layout import write_atomic

RECORD = "runs.json"


@dataclass(slots=True)
class Record:
    """Where a multi-run is.

    Attributes:
        run: the run being trained, from 0; as many as are done. begun: global step after which it began.
        training: whether the checkpoint was taken inside the run; else it stands between two runs, merged.
        rows: the matrix so far, the base's row first; losses by task, None where a task holds nothing out.
        without_better: runs since the merged adapter's best held-out loss.
    """

    run: int = 0
    begun: int = 0
    training: bool = False
    rows: list[list[float | None]] = field(default_factory=list)
    without_better: int = 0

    def save(self, directory: Path) -> None:
        """Write it."""
        write_atomic(directory / RECORD, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Read it.

        Raises:
            DataError: CHECKPOINT_INVALID.
        """
        try:
            words = json.loads((directory / RECORD).read_bytes())
            return cls(**{name.name: words[name.name] for name in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(
                "CHECKPOINT_INVALID",
                f"{directory.parent.name} does not say where its multi-run was.",
                "Resume from an earlier checkpoint, or start a new run.",
            ) from None
