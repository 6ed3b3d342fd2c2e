"""`micro_batch=auto`: how a step is split into micro-batches, decided before the run is created and told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_tui.launch.plan.forecast import Facts, fitting_batch, forecast
from backprop_tui.protocol.errors import UnavailableError

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec


def resolved_batch(spec: RunSpec, facts: Facts) -> tuple[RunSpec, str]:
    """The spec with plain numbers, and how they came about; unchanged and "" where nothing is left to choose.

    The largest power of two that fits in nine tenths of the free memory and divides the effective batch becomes
    `batch_size`; `accumulation` follows, so that a step sees as many rows as before. Where even one row does not fit, one
    is taken: the checks say that memory is short.
    """
    if spec.optim.micro_batch != "auto":
        return spec, ""
    plan = forecast(spec, facts)
    if facts.shape is None or plan.room is None:
        return _fixed(spec, spec.optim.batch_size), ""
    bfloat16 = plan.memory is None or not plan.gpu or "V100" not in plan.device
    whole = spec.effective_batch
    size = fitting_batch(spec, facts, plan.room - plan.process, gpu=plan.gpu, bfloat16=bfloat16) or 1
    chosen = _fixed(spec, size)
    words = (
        f"Micro-batch auto: {size} {'row' if size == 1 else 'rows'} by {whole // size} accumulated, "
        f"{whole} rows a step as before."
    )
    return chosen, words


def choose_batch(spec: RunSpec) -> tuple[RunSpec, str]:
    """As `resolved_batch`, with facts looked up for the occasion; for a launch.

    Raises:
        UnavailableError: MICRO_BATCH_UNKNOWN, the model or the memory is not known, so nothing can be chosen.
        BackpropError: what is wrong with the model or the data.
    """
    from backprop_tui.launch.plan.facts import model_place, model_shape, read_machine, read_rows

    if spec.optim.micro_batch != "auto":
        return spec, ""
    shape, reason = model_shape(spec)
    place = model_place(spec)
    if shape is None or place is None:
        raise UnavailableError(
            "MICRO_BATCH_UNKNOWN",
            f"The micro-batch can't be chosen: {reason}.",
            "Set micro_batch=fixed and a batch_size of your own.",
        )
    return resolved_batch(spec, Facts(shape, reason, read_rows(spec, place), read_machine()))


def _fixed(spec: RunSpec, size: int) -> RunSpec:
    """The spec with rows at a time; `size` divides the rows of a step."""
    more = {"micro_batch": "fixed", "batch_size": size, "accumulation": spec.effective_batch // size}
    return spec.model_copy(update={"optim": spec.optim.model_copy(update=more)})
