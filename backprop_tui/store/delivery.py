"""What a run delivers, copied out of its checkpoint: the files that plain PEFT and transformers read, and no others."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path

from backprop_tui.protocol.errors import DataError, UsageError

#: Everything else in a checkpoint serves resuming only.
_MODEL_FILES = (
    "adapter_config.json",
    "adapter_model*.safetensors",
    "model*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    "README.md",
)


def copy_model(source: Path, out: Path) -> Path:
    """Copy a checkpoint's model files to `out`, which appears whole or not at all.

    Args:
        source: a checkpoint that has been verified.
        out: an absolute path; a directory that does not exist yet or is empty.

    Returns:
        `out`.

    Raises:
        UsageError: OUT_EXISTS, it holds something already.
        DataError: OUT_NOT_WRITABLE.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("OUT_EXISTS", f"{out} exists and is not empty.", "Name a new directory.")
    staged = out.with_name(f".tmp-{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir()
        for file in sorted(source.iterdir()):
            if file.is_file() and any(fnmatch(file.name, pattern) for pattern in _MODEL_FILES):
                shutil.copy2(file, staged / file.name)
        if out.exists():
            out.rmdir()
        staged.rename(out)
    except OSError as error:
        raise DataError(
            "OUT_NOT_WRITABLE", f"{out} can't be written: {error.strerror}.", "Name another place."
        ) from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return out
