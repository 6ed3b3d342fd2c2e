"""Go or no-go: what speaks against a run, each as one line with a code and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.launch.devices import too_many
from backprop_tui.launch.plan.forecast import Facts, Forecast
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.parts.task import ROWS_OF
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

Level = Literal["ok", "warn", "fail", "unknown"]
#: A GPU counts as taken when others hold more than this of it.
_TAKEN = 0.05


@dataclass(frozen=True, slots=True)
class Check:
    """One line: `code` is stable, `words` say what was found and `next_step` what to do about it."""

    level: Level
    code: str
    words: str
    next_step: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {"level": self.level, "code": self.code, "words": self.words, "next": self.next_step}


def gigabytes(size: float | None) -> str:
    """Decimal gigabytes or megabytes, `–` where unknown."""
    if size is None:
        return "–"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def checks(spec: RunSpec, facts: Facts, plan: Forecast, refusal: BackpropError | None) -> list[Check]:
    """Every check in the order shown.

    Args:
        spec: the settings.
        facts: what is known beside them.
        plan: the forecast made of both.
        refusal: why a launch would be refused (data, masks, template, packages, model), None where it would not.
    """
    found = [_memory(spec, plan)]
    if refusal is not None and refusal.code != "DISK_SPACE":
        found.append(Check("fail", refusal.code, safe_text(refusal.cause), safe_text(refusal.next_step)))
    elif facts.rows is None:
        found.append(Check("unknown", "DATA", "the rows are not counted yet"))
    else:
        found.append(_rows(spec, facts))
    found.append(_disk(plan, refusal))
    if (card := _card(spec, facts)) is not None:
        found.append(card)
    return found


def blocked(found: list[Check]) -> list[Check]:
    """Those that say no."""
    return [check for check in found if check.level == "fail"]


def _memory(spec: RunSpec, plan: Forecast) -> Check:
    if plan.memory is None:
        return Check("unknown", "MEMORY", f"memory is not known: {safe_text(plan.memory_reason)}")
    if plan.room is None:
        return Check("unknown", "MEMORY", f"takes {gigabytes(plan.peak)}; free memory is not known")
    rough = "about " if plan.rough or plan.gpu else ""
    if plan.fits:
        more = ""
        if plan.batch_fits and plan.batch_fits > plan.batch_size:
            rest = spec.effective_batch // plan.batch_fits
            more = f"batch_size {plan.batch_fits} with accumulation {rest} fits as well"
        words = f"fits: {rough}{gigabytes(plan.peak)} of {gigabytes(plan.room)} that may be used"
        return Check("ok", "MEMORY", words, more)
    words = f"takes {rough}{gigabytes(plan.peak)}, and {gigabytes(plan.room)} may be used"
    return Check("fail", "MEMORY_SHORT", words, _smaller(spec, plan))


def _smaller(spec: RunSpec, plan: Forecast) -> str:
    if plan.batch_fits:
        rest = spec.effective_batch // plan.batch_fits
        return f"Set batch_size={plan.batch_fits} and accumulation={rest}: the same effective batch fits."
    if str(spec.optim.gradient_checkpointing) in ("off", "False", "every-2nd", "every-4th"):
        return "Turn gradient_checkpointing on."
    if spec.model.method != "qlora" and plan.gpu:
        return "Choose method=qlora, a shorter max_length or a smaller model."
    return "Choose a shorter max_length or a smaller model, or free memory."


def _rows(spec: RunSpec, facts: Facts) -> Check:
    rows = facts.rows
    assert rows is not None
    if not rows.lengths:
        return Check(
            "fail", "DATA_NO_USABLE_ROWS", "none of the rows looked at can be used", "Look at them: backprop data rows."
        )
    if ROWS_OF[spec.task.objective] == "prompt":
        longest = max(rows.lengths)
        words = f"prompts of at most {longest:,} tokens, which answers of at most {spec.grpo.answer_length:,} follow"
        return Check("ok", "DATA", words)
    share = sum(rows.learnt) / max(1, sum(rows.lengths))
    if not sum(rows.learnt):
        return Check(
            "fail", "DATA_NOTHING_LEARNT", "no token would be learnt", "Set train_on=everything, or add answers."
        )
    seen = "all rows" if rows.exact else f"{len(rows.lengths):,} rows"
    words = f"masks verified on {seen}: {share:.0%} of the tokens are learnt"
    if rows.cut:
        return Check(
            "warn",
            "DATA_CUT",
            f"{words}; {rows.cut:,} rows are cut at max_length",
            "Raise max_length to keep their ends.",
        )
    return Check("ok", "DATA", words)


def _disk(plan: Forecast, refusal: BackpropError | None) -> Check:
    if refusal is not None and refusal.code == "DISK_SPACE":
        return Check("fail", "DISK_SPACE", safe_text(refusal.cause), safe_text(refusal.next_step))
    if plan.disk is None or plan.disk_free is None:
        return Check("unknown", "DISK", "disk is not known yet")
    if plan.disk > plan.disk_free:
        words = f"takes {gigabytes(plan.disk)} of disk, and {gigabytes(plan.disk_free)} are free"
        return Check("fail", "DISK_SPACE", words, "Free some space, or keep fewer checkpoints.")
    return Check("ok", "DISK", f"{gigabytes(plan.disk)} of {gigabytes(plan.disk_free)} free disk")


def _card(spec: RunSpec, facts: Facts) -> Check | None:
    if facts.machine is None or spec.model.device == "cpu":
        return None
    if not facts.machine.gpus:
        if spec.model.device == "cuda":
            return Check("fail", "GPU_UNAVAILABLE", "no NVIDIA driver answered", "Set device to auto or cpu.")
        return Check("warn", "GPU_NONE", "no GPU here: the run is on the CPU, and slow for all but small models")
    few = too_many(spec, len(facts.machine.gpus))
    if few is not None:
        return Check("fail", few.code, few.cause, few.next_step)
    card = facts.machine.gpus[0]
    used, total = card["memory_used"], card.get("memory_total")
    name = safe_text(card.get("name") or "GPU", limit=40)
    if used is None or not total:
        return Check("unknown", "GPU", f"GPU {card['index']} ({name}) does not say what is free")
    if used > _TAKEN * total:
        words = f"GPU {card['index']} ({name}) has {gigabytes(used)} taken by others"
        return Check("warn", "GPU_BUSY", words, "Wait, or choose another with CUDA_VISIBLE_DEVICES.")
    return Check("ok", "GPU", f"GPU {card['index']} ({name}) is free")
