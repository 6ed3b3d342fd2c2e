"""The merged adapter of a multi-run: one merge after the other, each whole or not at all, and its state on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from backprop_tui.engine.worker.multi.slao import check_finite, overlap
from backprop_tui.engine.worker.multi.strategies import STRATEGIES, Adapter, Memory, Merge
from backprop_tui.protocol.errors import DataError, RunFailed
from backprop_tui.protocol.parts.multi import MultiPart
from backprop_tui.store.layout import write_atomic

TENSORS = "merger.safetensors"
FACTS = "merger.json"
_FORMAT = 1
#: Settings the merged tensors depend on; they must be the same when a state is read back.
_BINDING = ("merge", "scaling", "scale_floor", "scale_constant", "adaptive_scale", "layer_scale")


class Merger:
    """Keeps the delivered adapter and the last fine-tuned one apart, and knows where the next run starts.

    Args:
        part: strategy and scaling. seed: of whatever is drawn: random starts, DARE's dropped values.

    Attributes:
        memory: replaced as a whole by `accept`, never changed in place.
    """

    def __init__(self, part: MultiPart, seed: int) -> None:
        self._part = part
        self._seed = seed
        self._strategy = STRATEGIES[part.merge]
        self.memory = Memory()

    @property
    def runs(self) -> int:
        """Merges accepted so far."""
        return self.memory.accepted

    def begin(self, start: Adapter) -> None:
        """Note where the first run starts from."""
        self.memory = Memory(first=_copied(start))

    def start(self, run: int) -> Adapter:
        """The adapter the given run (counted from 1) starts from; the first start while nothing has been merged.

        Raises:
            RunFailed: MERGER_NOT_STARTED.
        """
        if not self.memory.first:
            raise RunFailed(
                "MERGER_NOT_STARTED", "The merger has seen no adapter.", "Begin with the first run's start."
            )
        if not self.memory.accepted:
            return dict(self.memory.first)
        return self._strategy.start(self.memory, self._seed + run)

    @property
    def merged(self) -> Adapter:
        """What is delivered.

        Raises:
            RunFailed: MERGER_EMPTY, no run has been merged.
        """
        if not self.memory.accepted:
            raise RunFailed(
                "MERGER_EMPTY", "Nothing has been merged: no run has finished.", "Finish a run and merge it first."
            )
        return dict(self.memory.merged)

    def propose(self, tuned: Adapter, run: int) -> Merge:
        """Work out the merge of a fine-tuned adapter; nothing changes until `accept`.

        Raises:
            RunFailed: MERGE_NOT_FINITE; MERGE_MISMATCH, other tensors than before.
        """
        memory = self.memory
        if not memory.first:
            raise RunFailed(
                "MERGER_NOT_STARTED", "The merger has seen no adapter.", "Begin with the first run's start."
            )
        tuned = _copied(tuned)
        _check_same(memory.first, tuned)
        check_finite(tuned, f"The adapter of run {run}")
        cosine = overlap(memory.merged, tuned) if memory.accepted else None
        merged, share = self._strategy.join(memory, tuned, self._part, self._seed + run)
        check_finite(merged, f"The merge of run {run}")
        after = Memory(
            merged=_copied(merged),
            last=tuned,
            first=memory.first,
            tuned=[*memory.tuned, tuned] if self._strategy.keeps_all else [],
            accepted=memory.accepted + 1,
        )
        return Merge(after, share, None if cosine is None else 1.0 - cosine)

    def accept(self, merge: Merge) -> None:
        """Make a proposed merge the state. Accepting it twice is the same as once."""
        self.memory = merge.after

    def save(self, directory: Path) -> None:
        """Write the state: tensors first, then the facts that hold their digest, each renamed into place."""
        memory = self.memory
        groups = {"merged": memory.merged, "last": memory.last, "first": memory.first}
        if memory.tuned:
            # The last one is among them; safetensors refuses tensors that share memory.
            del groups["last"]
            groups |= {f"tuned-{number}": adapter for number, adapter in enumerate(memory.tuned)}
        content = save(
            {f"{group}/{name}": value for group, tensors in groups.items() for name, value in tensors.items()}
        )
        write_atomic(directory / TENSORS, content)
        facts = {
            "format": _FORMAT,
            "accepted": memory.accepted,
            "tuned": len(memory.tuned),
            "seed": self._seed,
            "settings": self._settings(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        write_atomic(directory / FACTS, json.dumps(facts, indent=1).encode())

    def load(self, directory: Path) -> None:
        """Read a state written by `save` with the same settings; the present one stays where that fails.

        Raises:
            DataError: MERGER_DAMAGED; MERGER_SETTINGS, it was made with other settings.
        """
        try:
            facts: dict[str, Any] = json.loads((directory / FACTS).read_bytes())
            content = (directory / TENSORS).read_bytes()
            if facts["format"] != _FORMAT or hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise ValueError
            count, accepted = int(facts["tuned"]), int(facts["accepted"])
            settings, seed = dict(facts["settings"]), int(facts["seed"])
            read: dict[str, Adapter] = {}
            for name, value in load(content).items():
                group, _, tensor = name.partition("/")
                read.setdefault(group, {})[tensor] = value
            # Copies, also because sums may end in another digit where memory is not aligned as torch does it.
            groups = {group: _copied(adapter) for group, adapter in read.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                "MERGER_DAMAGED",
                f"The merger's state in {directory.parent.name} can't be read, or its digest differs.",
                "Resume from an earlier checkpoint.",
            ) from None
        if settings != self._settings() or seed != self._seed:
            raise DataError(
                "MERGER_SETTINGS",
                "The merged adapter was made with another strategy, scaling or seed.",
                "Resume with the run's own settings, or start a new run.",
            )
        tuned = [groups[f"tuned-{number}"] for number in range(count)]
        self.memory = Memory(
            merged=groups.get("merged", {}),
            last=tuned[-1] if tuned else groups.get("last", {}),
            first=groups.get("first", {}),
            tuned=tuned,
            accepted=accepted,
        )

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self._part, name) for name in _BINDING}


def _copied(adapter: Adapter) -> Adapter:
    """By name, because what is drawn for one tensor after the other must not depend on the order they came in."""
    return {
        name: value.detach().to("cpu", torch.float32, copy=True).contiguous() for name, value in sorted(adapter.items())
    }


def _check_same(before: Adapter, now: Adapter) -> None:
    differing = sorted(before.keys() ^ now.keys()) or [name for name in before if before[name].shape != now[name].shape]
    if differing:
        raise RunFailed(
            "MERGE_MISMATCH",
            f"{len(differing)} tensors of the adapter are not those merged before, such as {differing[0]}.",
            "Keep rank and target layers the same in all runs.",
        )
