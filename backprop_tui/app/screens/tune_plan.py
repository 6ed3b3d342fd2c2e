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

#: Cells of a fact's name and of its value.
_NAME, _VALUE = 13, 8
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
    memory: list[Line] = []
    rest = [
        ("rows", wording.count(found.train_rows), "own eval file" if has_eval_file(spec) else f"{held} held out"),
        ("batch", f"{spec.effective_batch:,}", "rows a step"),
        ("steps", wording.count(steps), f"{found.steps_per_epoch:,} an epoch" if found.steps_per_epoch else ""),
        ("tokens", wording.short_count(plan.tokens if plan else None), _learnt(plan)),
        ("trains", wording.short_count(found.trained_parameters), _share(found)),
        *_time(plan),
        ("disk", wording.size(plan.disk if plan else None), f"keeps {spec.run.keep}"),
    ]
    if plan is not None and plan.cost is not None:
        rest.append(("cost", f"{plan.cost:.2f} {plan.currency}".rstrip(), ""))
    if plan is not None and plan.memory is not None:
        room = f"of {wording.size(plan.room)}" if plan.room is not None else ""
        memory = [_line("memory", wording.size(plan.peak), room, width)]
        memory += [
            _line(f" {name}", wording.size(size), "", width) for name, size in _parts(plan, height - 1 - len(rest))
        ]
    else:
        why = "working it out" if plan is None else safe_text(plan.memory_reason, limit=200)
        memory = [_line("memory", wording.UNKNOWN, "", width), *([((line, "muted"),) for line in wrap(why, width)])]
    return [*memory, *(_line(*row, width) for row in rest)][:height]


def _line(name: str, value: str, note: str, width: int) -> Line:
    """A fact in three columns; the parts of one that begin with a blank are quieter."""
    lead, figure = fit(name, _NAME), f"{value:<{_VALUE}} "
    role = "strong" if value[:1].isdigit() and not name.startswith(" ") else "text"
    return ((lead, "muted"), (figure, role), (fit(note, max(0, width - _NAME - len(figure))), "muted"))


def _parts(plan: Forecast, most: int) -> list[tuple[str, int]]:
    """Parts of the peak, the largest first; those there is no room for are summed up."""
    assert plan.memory is not None
    parts = [(name, size) for name, size in plan.memory.parts.items() if size]
    parts = sorted([*parts, ("process", plan.process)], key=lambda part: -part[1])
    most = max(2, most)
    if len(parts) <= most:
        return parts
    return [*parts[: most - 1], ("others", sum(size for _, size in parts[most - 1 :]))]


def _time(plan: Forecast | None) -> list[tuple[str, str, str]]:
    """How long, between what, and what that rests on."""
    if plan is None or plan.seconds is None:
        return [("time", wording.UNKNOWN, ""), (" rate", "known after some steps" if plan is not None else "", "")]
    low, high = wording.duration(plan.seconds_low), wording.duration(plan.seconds_high)
    between = f"up to {high}" if plan.rate.basis == "guess" else f"{low} to {high}"
    return [("time", wording.duration(plan.seconds), between), (" rate", _BASIS[plan.rate.basis], "")]


def _share(found: Estimate) -> str:
    if not found.trained_parameters or not found.parameters:
        return ""
    share = wording.percent(found.trained_parameters / found.parameters)
    return f"{share} of {wording.short_count(found.parameters)}"


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
    about = "" if plan.exact else "~"
    return f"{about}{wording.short_count(plan.trained_tokens)} learnt"


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
