"""Forks: a run of its own that begins with a checkpoint of another one, with some settings changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.launch.start import ENGINE_COMMAND, discard, launch_engine
from backprop_tui.protocol.errors import BackpropError, UnavailableError, UsageError
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.lineage import Kept, Parent, adopt
from backprop_tui.store.resuming import checkpoint_at, lacking

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: What gives the weights of a checkpoint their meaning: a fork has it from its parent.
_FIXED = (
    "base", "revision", "method", "quantization", "rank", "alpha", "targets", "dora", "rslora", "adapter_start",
)  # fmt: skip
#: What may change while the optimiser and the place in the data are kept: how fast, how long, and what is done beside training.
_FREE_WITH_OPTIMIZER = frozenset({
    "name", "learning_rate", "schedule", "min_lr_ratio", "restarts", "lr_power", "decay_share", "warmup", "epochs", "steps",
    "max_grad_norm",
})  # fmt: skip
_FREE_PARTS = frozenset({"run", "recovery", "safety"})
_NAME_LIMIT = 120


def fork_run(
    parent: RunDir,
    *,
    step: int | None = None,
    changes: Mapping[str, Any] | None = None,
    name: str = "",
    keep_optimizer: bool = False,
    engine: Sequence[str] = ENGINE_COMMAND,
    limited: bool = True,
    trusted: Collection[str] = (),
    attended: bool = True,
) -> RunDir:
    """Start a child run from a checkpoint; the parent is only read, and may be live or over.

    Args:
        parent: the run.
        step: of the checkpoint; None is the newest sound one.
        changes: settings by name, as `--set` takes them; all others are the parent's.
        name: what the child is called; "" is made of the parent's name and the step.
        keep_optimizer: go on at that step with the optimiser's state and the place in the data, instead of beginning anew at
            step 0 with a fresh optimiser.
        engine: the host's command line without its arguments.
        limited: whether it counts among the starts of this minute.
        trusted: as `start_run` takes it; a file the parent was confirmed with counts as well.
        attended: whether a person follows it on a screen; else it ends where it would wait for one.

    Raises:
        TryAgainError: RATE_LIMITED, too many were started within a minute.
        UsageError: FORK_SETTING, a change the checkpoint does not allow; an unknown setting.
        DataError: CHECKPOINT_UNKNOWN, CHECKPOINT_INVALID, CHECKPOINT_NONE; what is wrong with the data.
        BackpropError: what preflight or the engine found wrong. Nothing is left behind then.
    """
    refuse_if_view_only()
    from backprop_tui.launch import rewards
    from backprop_tui.launch.preflight import check_and_record
    from backprop_tui.launch.safety import admit_start, unattended

    if limited:
        admit_start(count=False)
    before = parent_spec(parent)
    after = child_spec(before, changes or {}, keep_optimizer=keep_optimizer)
    if not attended:
        after = unattended(after)
    source = checkpoint_at(parent, step)
    if keep_optimizer and (problem := lacking(source.path)):
        raise UsageError("FORK_WITHOUT_OPTIMIZER", problem, "Fork without --keep-optimizer.")
    title = name or f"{before.title[: _NAME_LIMIT - 16]} @{source.step}"
    after = after.model_copy(update={"name": title[:_NAME_LIMIT]})
    resolved, launched = check_and_record(after)
    # What was confirmed for the parent need not be confirmed again, as long as it is the same.
    rewarded = rewards.confirmed(resolved, {*rewards.confirmed_for(parent), *trusted})
    if limited:
        admit_start(count=True)
    kept: Kept = "optimizer" if keep_optimizer else "weights"
    noted = Parent(parent.id, source.step, kept, after.optim.learning_rate / before.optim.learning_rate)
    child = create_run(
        resolved.model_dump(mode="json"),
        launched=launched,
        parent=noted.to_dict(),
        rewards=None if rewarded is None else rewards.record(rewarded),
    )
    try:
        rewards.keep_copy(child, rewarded)
        copy = adopt(child, source, kept)
        resume = copy.relative_to(child.path).as_posix() if keep_optimizer else None
        launch_engine(child, resume=resume, engine=engine)
    except OSError as error:
        discard(child)
        raise UnavailableError(
            "FORK_NOT_WRITTEN",
            f"The checkpoint of step {source.step:,} can't be copied: {error.strerror}.",
            "Free some space on the disk of the runs.",
        ) from None
    except BackpropError:
        discard(child)
        raise
    return child


def parent_spec(parent: RunDir) -> RunSpec:
    """The settings of a run.

    Raises:
        DataError: run.json can't be read. UsageError: it is not one of this version.
    """
    from backprop_tui.protocol.fields import validate_spec
    from backprop_tui.protocol.spec import RunSpec

    words = parent.read_spec()
    return validate_spec({key: value for key, value in words.items() if key in RunSpec.model_fields})


def child_spec(before: RunSpec, changes: Mapping[str, Any], *, keep_optimizer: bool = False) -> RunSpec:
    """The parent's settings with changes the checkpoint allows; pure.

    Raises:
        UsageError: FORK_SETTING, naming the setting and why it must stay; an unknown setting or a value out of bounds.
    """
    from backprop_tui.protocol.effects import refuse_without_effect
    from backprop_tui.protocol.fields import differences, with_overrides

    after = with_overrides(before, changes)
    for setting, old, new in differences(after, before):
        if setting.key in _FIXED:
            raise UsageError(
                "FORK_SETTING",
                f"A fork can't change {setting.key} ({old} → {new}): the checkpoint's weights have meaning only with it.",
                "Leave it out; or save the run, and train on what was saved: `backprop save`, `backprop train --model`.",
                {"setting": setting.key},
            )
        if keep_optimizer and setting.key not in _FREE_WITH_OPTIMIZER and setting.part not in _FREE_PARTS:
            raise UsageError(
                "FORK_SETTING",
                f"With --keep-optimizer {setting.key} can't change ({old} → {new}): the optimiser's state and the place in the "
                "data belong to it.",
                "Fork without --keep-optimizer to begin with a fresh optimiser.",
                {"setting": setting.key},
            )
    if after.multi.multi != "off":
        raise UsageError(
            "FORK_SETTING",
            "A fork is one run: a multi-run can't begin in the middle of an adapter.",
            "Add --set multi=off.",
            {"setting": "multi"},
        )
    refuse_without_effect(after, changes)
    return after
