"""The plan and its checks in words for the Tune screen: pure functions from what is known to lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_tui.app import wording
from backprop_tui.app.widgets.lines import fit, wrap
from backprop_tui.app.widgets.painted import Line
from backprop_tui.launch.estimate import Estimate, has_eval_file
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.app.prospect import Prospect
    from backprop_tui.launch.plan.checks import Check
    from backprop_tui.launch.plan.forecast import Forecast
    from backprop_tui.protocol.spec import RunSpec

#: Parts of the memory in the words of a narrow column.
_PARTS = {
    "weights": "weights", "adapters": "adapters", "gradients": "gradients", "optimiser": "optimiser",
    "activations": "activations", "logits": "logits", "workspace": "workspace",
}  # fmt: skip
_BASIS = {"measured": "measured", "scaled": "by other runs", "guess": "a guess", "unknown": ""}


def estimate_lines(
    spec: RunSpec,
    found: Estimate,
    plan: Forecast | None,
    width: int,
    height: int,
    check: tuple[str, str] = ("", "muted"),
) -> list[Line]:
    """Counts, memory by part, time and disk; three lines where little room is left."""
    steps = (plan.steps if plan is not None else None) or found.steps
    held = "own file" if has_eval_file(spec) else wording.count(found.eval_rows)
    if width >= 60:
        return _compact(spec, found, plan, steps, width, check)[: max(1, height)]
    rows: list[tuple[str, str, str]] = []
    if plan is not None and plan.memory is not None:
        room = f"of {wording.size(plan.room)}" if plan.room is not None else ""
        rows.append(("memory", wording.size(plan.peak), room))
        parts = [(name, size) for name, size in plan.memory.parts.items() if size]
        parts.append(("process", plan.process))
        parts.sort(key=lambda part: -part[1])
        shown = parts[: max(2, height - 8)]
        rows += [(f"  {_PARTS.get(name, name)}", wording.size(size), "") for name, size in shown]
    else:
        why = "working it out" if plan is None else safe_text(plan.memory_reason, limit=200)
        rows.append(("memory", wording.UNKNOWN, why))
    per = f"({found.steps_per_epoch:,} an epoch)" if found.steps_per_epoch else ""
    share = ""
    if found.trained_parameters and found.parameters:
        share = f"of {wording.short_count(found.parameters)} ({wording.percent(found.trained_parameters / found.parameters)})"
    rows += [
        ("rows", wording.count(found.train_rows), f"{held} held out"),
        ("batch", f"{spec.effective_batch:,}", "rows a step"),
        ("steps", wording.count(steps), per),
        ("tokens", wording.short_count(plan.tokens if plan else None), _learnt(plan)),
        ("trains", wording.short_count(found.trained_parameters), share),
        ("time", wording.duration(plan.seconds if plan else None), _span(plan)),
        ("disk", wording.size(plan.disk if plan else None), f"keeps {spec.run.keep}"),
    ]
    if plan is not None and plan.cost is not None:
        rows.append(("cost", f"{plan.cost:.2f} {plan.currency}".rstrip(), ""))
    lines: list[Line] = []
    for name, value, note in rows:
        lead, figure = fit(name, 14), f"{value} "
        rest = fit(note, max(0, width - 14 - len(figure)))
        role = "strong" if value[:1].isdigit() and not name.startswith(" ") else "text"
        lines.append(((lead, "muted"), (figure, role), (rest, "muted")))
    return lines[:height]


def _compact(
    spec: RunSpec, found: Estimate, plan: Forecast | None, steps: int | None, width: int, check: tuple[str, str]
) -> list[Line]:
    held = "own file" if has_eval_file(spec) else wording.count(found.eval_rows)
    one = f"rows {wording.count(found.train_rows)}  held out {held}  steps {wording.count(steps)}  batch {spec.effective_batch}"
    if plan is not None and plan.memory is not None:
        room = f" of {wording.size(plan.room)}" if plan.room is not None else ""
        time = wording.duration(plan.seconds)
        two = f"memory {wording.size(plan.peak)}{room}  time {time}  disk {wording.size(plan.disk)}"
    else:
        two = f"memory {wording.UNKNOWN}  trains {wording.short_count(found.trained_parameters)} weights"
    return [((fit(one, width), "text"),), ((fit(two, width), "text"),), ((fit(check[0], width), check[1]),)]


def _learnt(plan: Forecast | None) -> str:
    if plan is None or plan.trained_tokens is None:
        return ""
    about = "" if plan.exact else "about "
    return f"{about}{wording.short_count(plan.trained_tokens)} learnt"


def _span(plan: Forecast | None) -> str:
    if plan is None:
        return ""
    if plan.seconds is None:
        return "after the first steps"
    if plan.rate.basis == "guess":
        return f"a guess, to {wording.duration(plan.seconds_high)}"
    return f"{wording.duration(plan.seconds_low)} to {wording.duration(plan.seconds_high)}, {_BASIS[plan.rate.basis]}"


def verdict(prospect: Prospect, spec: RunSpec) -> tuple[str, str]:
    """What all checks say in one line, and its role."""
    if prospect.checked and prospect.error is not None:
        return safe_text(str(prospect.error), limit=1000), "bad"
    for check in prospect.checks(spec):
        if check.level == "fail":
            return f"{check.code}: {check.words}. {check.next_step}".rstrip(), "bad"
    return ("ready: press g", "good") if prospect.checked else ("checking", "muted")


def check_lines(prospect: Prospect, spec: RunSpec, width: int, ascii_only: bool) -> list[Line]:
    """What the checks before a launch say now."""
    good, bad, warn = ("+", "x", "!") if ascii_only else ("✓", "✗", "!")
    if prospect.checked and prospect.error is not None:
        error = prospect.error
        lines: list[Line] = [((f"{bad} ", "bad"), (safe_text(error.code), "bad"))]
        lines += [((line, "text"),) for line in wrap(error.cause, width)]
        lines += [((line, "muted"),) for line in wrap(error.next_step, width)]
        return lines
    lines = []
    if prospect.checked:
        absent = prospect.to_download(spec)
        lines.append(
            ((f"{good} ", "good"), ("data and disk are ready" if absent else "model, data and disk are ready", "text"))
        )
        if absent:
            words = "the model is not on this machine; the run begins by downloading it"
            lines += _hung(f"{warn} ", "warn", words, width)
    else:
        lines.append((("checking", "muted"),))
    signs = {"ok": (f"{good} ", "good"), "warn": (f"{warn} ", "warn"), "fail": (f"{bad} ", "bad")}
    for check in _shown(prospect.checks(spec)):
        sign, role = signs[check.level]
        said = _hung(sign, role, safe_text(check.words), width)
        if check.next_step:
            said += [(("  ", "text"), (line, "muted")) for line in wrap(check.next_step, width - 2)]
        # What stands in the way comes first, before what is fine.
        lines = [*said, *lines] if check.level == "fail" else [*lines, *said]
    if prospect.checked and verdict(prospect, spec)[1] == "good":
        lines += [(), (("g", "key"), ("  launch", "muted"))]
    return lines


def _shown(checks: list[Check]) -> list[Check]:
    """What says no first, then what to look at; unknown things are the estimate's business."""
    rank = {"fail": 0, "warn": 1, "ok": 2}
    return sorted((check for check in checks if check.level in rank), key=lambda check: rank[check.level])


def _hung(sign: str, role: str, words: str, width: int) -> list[Line]:
    return [
        ((sign if number == 0 else "  ", role), (line, "text")) for number, line in enumerate(wrap(words, width - 2))
    ]
