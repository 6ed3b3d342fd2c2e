"""What a continuation depends on besides data, settings and checkpoint: versions, device, number formats, threads, processes.

Equal, a resumed run takes the very steps an undisturbed one would have taken (on a GPU as far as its kernels repeat
themselves); otherwise sums are rounded in another order, and figures differ in their last digits at first.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "numpy", "bitsandbytes")
#: What is compared besides versions, in words.
_FACTS = {
    "device": "device",
    "processor": "processor",
    "dtype": "number format",
    "threads": "threads",
    "processes": "processes",
    "batch_size": "batch_size",
    "accumulation": "accumulation",
}


def describe(spec: RunSpec, precision: Precision) -> dict[str, Any]:
    """The present attempt's environment; JSON-ready. Call it once the number of threads is set."""
    cuda = precision.device.type == "cuda"
    # The instruction set decides how the CPU's kernels sum up.
    processor = precision.device_words if cuda else torch.backends.cpu.get_cpu_capability()
    return {
        "versions": library_versions(cuda=cuda),
        "device": precision.device.type,
        "processor": processor,
        "dtype": precision.words,
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "batch_size": spec.optim.batch_size,
        "accumulation": spec.optim.accumulation,
    }


def library_versions(*, cuda: bool = False) -> dict[str, str]:
    """Versions of whatever takes part in a step; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if cuda:
        found["cuda"], found["cudnn"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, a few words each; empty when a continuation is exact. What was not noted then counts as different."""
    old, new = before.get("versions") or {}, now["versions"]
    names = sorted(old.keys() | new.keys())
    found = [
        f"{name} {_word(old.get(name))} → {_word(new.get(name))}" for name in names if old.get(name) != new.get(name)
    ]
    for key, words in _FACTS.items():
        if before.get(key) != now[key]:
            found.append(f"{words} {_word(before.get(key))} → {_word(now[key])}")
    return found


def _word(value: object) -> str:
    return "unknown" if value is None else safe_text(value, limit=60)
