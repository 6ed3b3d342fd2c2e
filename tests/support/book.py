"""A journal written by hand, with steps by the thousand or damage where it is wanted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import encode_line


class Book:
    """A journal written line by line, whole or damaged as asked."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seq = 0
        self.wall = 1_700_000_000.0

    def add(self, kind: str, /, **data: Any) -> bytes:
        self.seq += 1
        self.wall += 0.7
        record = {
            "seq": self.seq,
            "wall": round(self.wall, 3),
            "mono": round(self.wall - 1_600_000_000, 4),
            "attempt": 1,
            "kind": kind,
            "data": data,
        }
        line = encode_line(record)
        with self.file.open("ab") as out:
            out.write(line)
        return line

    def steps(self, first: int, last: int, **more: Any) -> None:
        for step in range(first, last):
            noise = math.sin(step * 12.9898)
            self.add(
                ev.STEP,
                **{
                    "step": step, "epoch": step / 1000, "loss": 2.0 + noise, "grad_norm": 1.0 - noise, "lr": 1e-4,
                    "tokens": step * 1600, "tokens_per_s": 12_000, "step_s": 0.7, **more,
                },
            )  # fmt: skip
            if step % 10 == 0:
                self.add(ev.TELEMETRY, gpus=[{"index": 0, "utilisation": 50.0 + noise}], host={"cpu": 3.0})
