"""The model whose tokenizer and chat template are looked through."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text


def add_model(parser: ArgumentParser, words: str, *, absent: str = "the setting `model` if absent") -> None:
    """The `-m` of actions that count or show tokens."""
    parser.add_argument("-m", "--model", help=f"{words}: directory, hub id, or `demo` ({absent})")


def find_model(named: str | None, out: Output) -> Path | None:
    """The directory of the model that was named, or else of the one in the settings.

    Returns:
        None when it is a hub id that is not on this machine and was not named here; then a word says so.

    Raises:
        DataError: the directory lacks something.
        UsageError: MODEL_NAME_INVALID, or MODEL_NOT_HERE for a model that was named.
    """
    from backprop_tui.config.settings import load_settings
    from backprop_tui.data.models import resolve_model

    base = named or load_settings().model
    directory = resolve_model(base)
    if directory is None:
        name = safe_text(base, limit=200)
        if named:
            raise UsageError(
                "MODEL_NOT_HERE",
                f"The model {name} is not on this machine.",
                "Name a model directory, or download it first: `hf download MODEL`.",
            )
        out.say(f"The model {name} of the settings is not on this machine; tokens stay unknown.")
    return directory
