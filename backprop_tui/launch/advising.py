"""What advice goes by, looked up: the model's width and layers on the disk, the rows' tokens to learn. See `config.advice`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.config.advice import Sizes, advise, cautions
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from backprop_tui.launch.plan.forecast import Forecast
    from backprop_tui.protocol.spec import RunSpec


def model_sizes(spec: RunSpec, place: Path | None) -> Sizes:
    """What a model's directory says; nothing for a model that is not here or can't be read."""
    from backprop_tui.data.models import model_facts
    from backprop_tui.launch.estimate import adapter_parameters, read_shapes

    if place is None:
        return Sizes()
    try:
        facts = model_facts(place)
    except BackpropError:
        return Sizes()
    shapes = read_shapes(place)
    per_rank = adapter_parameters(shapes, 1, spec.lora.targets) if shapes else None
    return Sizes(facts.hidden, facts.family, facts.parameters, per_rank or None)


def tokens_to_learn(spec: RunSpec, place: Path) -> int | None:
    """Tokens whose loss counts in one pass, from a sample of the rows where there are many; None where they can't be read."""
    from backprop_tui.launch.plan.facts import read_rows

    try:
        return read_rows(spec, place).trained_tokens
    except BackpropError:
        # What is wrong with the data is said by the launch.
        return None


def advised_spec(preset: str, place: Path | None, overrides: Mapping[str, Any]) -> RunSpec:
    """The spec of a preset with overrides, and with what the preset leaves to advice worked out for this model and these rows.

    Args:
        preset: which.
        place: the model's directory; None where it is not here, and advice then stays general.
        overrides: settings by name, as in `--set`.

    Raises:
        UsageError: unknown preset or setting, or a value out of bounds.
    """
    from backprop_tui.config.presets import find_preset, preset_spec
    from backprop_tui.protocol.fields import find_setting

    spec = preset_spec(preset, place, overrides)
    given = {find_setting(key).key for key in overrides}
    if place is None or "rank" in given or "rank" not in find_preset(preset).advised or spec.model.method == "full":
        return spec
    return preset_spec(preset, place, overrides, sizes=found_sizes(spec, place, rows=True))


def found_sizes(spec: RunSpec, place: Path | None, *, rows: bool) -> Sizes:
    """What the model's directory says and, where asked, its rows."""
    sizes = model_sizes(spec, place)
    return replace(sizes, learnt=tokens_to_learn(spec, place)) if rows and place is not None else sizes


def planned_sizes(spec: RunSpec, plan: Forecast) -> Sizes:
    """What a plan has found out already."""
    from backprop_tui.launch.plan.facts import model_place

    try:
        known = model_sizes(spec, model_place(spec))
    except BackpropError:
        known = Sizes()
    learnt = None
    if plan.trained_tokens is not None and plan.steps and plan.steps_per_epoch:
        learnt = round(plan.trained_tokens * plan.steps_per_epoch / plan.steps)
    return replace(known, learnt=learnt, steps=plan.steps)


def said(spec: RunSpec, sizes: Sizes) -> list[str]:
    """Advice and cautions as lines, each a sentence that begins with what it is about."""
    lines = [f"{advice.key.replace('_', ' ')}: {advice.words}." for advice in advise(spec, sizes)]
    return [*lines, *cautions(spec, sizes)]
