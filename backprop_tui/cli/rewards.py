"""Reward files on the command line: shown whole, confirmed with a word or with the hash of what was read."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Collection
from typing import TYPE_CHECKING

from backprop_tui.cli.output import Output
from backprop_tui.protocol.text import safe_block, safe_text

if TYPE_CHECKING:
    from backprop_tui.launch.rewards import RewardFile
    from backprop_tui.protocol.spec import RunSpec


def add_trust(parser: ArgumentParser) -> None:
    """`--trust-rewards`."""
    parser.add_argument(
        "--trust-rewards",
        metavar="SHA256",
        default="",
        help="confirm the reward file by the SHA-256 of what you read, 12 hex digits of it or more",
    )


def confirm_rewards(spec: RunSpec, said: str, out: Output, *, known: Collection[str] = ()) -> tuple[str, ...]:
    """Have the reward file of a run confirmed, where it has one and it was not confirmed before.

    Args:
        spec: the run.
        said: what `--trust-rewards` gave.
        out: where it is shown.
        known: hashes that are confirmed for this run already.

    Returns:
        Hashes that are confirmed for this run and no other.

    Raises:
        UsageError: REWARD_NOT_CONFIRMED; REWARD_CHANGED where the hash is of another content.
        BackpropError: what is wrong with the file.
    """
    from backprop_tui.launch.rewards import not_confirmed, remember, trusted_rewards, unconfirmed

    if said:
        return trusted_rewards(spec, said)
    file = unconfirmed(spec, known)
    if file is None:
        return ()
    if not sys.stdin.isatty() or out.as_json or not _asked(file, out):
        raise not_confirmed(file)
    remember(file)
    return (file.sha256,)


def _asked(file: RewardFile, out: Output) -> bool:
    out.say(f"The run executes {safe_text(file.path)} as you. This is all of it:")
    out.say("")
    lines = safe_block(file.text, limit=len(file.text)).split("\n")
    width = len(str(len(lines)))
    for number, line in enumerate(lines, start=1):
        out.say(f"{number:>{width}} │ {line}")
    out.say("")
    out.say(f"sha256 {file.sha256}")
    out.say("Run it? Its content is then not asked about again. [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
