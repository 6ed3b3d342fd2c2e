"""The compact view `backprop watch` draws: five to eight lines, and the one-line forms for pipes and screen readers."""

from __future__ import annotations

from itertools import pairwise

from backprop_tui.cli import words
from backprop_tui.cli.machine_words import machine_lines
from backprop_tui.cli.output import Output
from backprop_tui.cli.progress import status_text
from backprop_tui.protocol import figures
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.task_figures import said as figures_said
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.summary import RunSummary

_SPARKS = "▁▂▃▄▅▆▇█"


def status_line(summary: RunSummary, view: RunView, state: RunState, out: Output) -> str:
    """State, id, title and figures on one line."""
    title = safe_text(summary.title, limit=40)
    return f"{out.state(state)}  {summary.run.short_id}  {title}  {status_text(view)}"


def sentences(summary: RunSummary, view: RunView, state: RunState) -> str:
    """The same as whole sentences without signs or colour, for a screen reader."""
    said = [f"{safe_text(summary.title, limit=40)} is {state.value}."]
    if view.total_steps:
        share = min(100.0, 100 * view.step / view.total_steps)
        said.append(f"Step {view.step} of {view.total_steps}, {share:.0f} percent.")
    elif view.step:
        said.append(f"Step {view.step}.")
    if view.loss is not None:
        said.append(f"Loss {words.loss(view.loss)}.")
    if view.eval_loss is not None:
        said.append(f"Held-out loss {words.loss(view.eval_loss)}.")
    said += [f"{told[:1].upper()}{told[1:]}." for told in figures_said(view.figures or view.eval_figures)]
    if state.live and view.seconds_left:
        said.append(f"About {_spoken(view.seconds_left)} left.")
    if state.live and view.phase and view.phase != "train":
        said.append(f"Under way: {safe_text(view.phase, limit=40)}.")
    if view.fault:
        said.append(safe_text(view.fault.get("cause", ""), limit=300))
    return " ".join(said)


def panel(summary: RunSummary, view: RunView, state: RunState, losses: list[float], out: Output) -> list[str]:
    """The view: five to eight lines that fit the terminal's width."""
    width = out.columns if out.terminal else 80
    title = safe_text(summary.title, limit=60)
    lines = [f"{out.state(state)}  {summary.run.short_id}  {out.style(title, 'bold')}"]
    lines.append(f"step {_progress(view, width)}")
    shown = [f"loss {words.loss(view.loss)}", f"eval {words.loss(view.eval_loss)}"]
    if view.best_eval_step is not None:
        shown[-1] += f" (best {words.loss(view.best_eval_loss)} at {words.count(view.best_eval_step)})"
    shown += [f"lr {words.rate(view.lr)}", f"gradient {words.loss(view.grad_norm)}"]
    shown += figures_said(view.figures or view.eval_figures)
    lines.append("  ".join(shown))
    if len(losses) > 1:
        lines.append(out.style(_sparkline(losses, min(60, width - 6)), "accent") + out.style(" loss", "dim"))
    lines += machine_lines(view.telemetry)
    if view.fault:
        lines.append(out.style(safe_text(f"{view.fault.get('code', '')}: {view.fault.get('cause', '')}"), "bad"))
        lines.append(safe_text(view.fault.get("next", "")))
    elif state is RunState.CRASHED:
        lines.append(f"`backprop resume {summary.run.short_id}` continues it.")
    elif view.phase and view.phase != "train":
        done = f" {words.count(view.phase_done)}/{words.count(view.phase_total)}" if view.phase_total else ""
        lines.append(f"{safe_text(view.phase)}{done}  {safe_text(view.phase_detail)}".rstrip())
    elif view.checkpoint_step is not None:
        lines.append(f"checkpoint at step {words.count(view.checkpoint_step)}")
    return [words.shorten(line, width) for line in lines]


def _spoken(seconds: float) -> str:
    whole = round(seconds)
    if whole < 90:
        return f"{whole} seconds"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours {minutes % 60} minutes"


def _progress(view: RunView, width: int) -> str:
    step, total = words.count(view.step), words.count(view.total_steps)
    if not view.total_steps:
        return f"{step}/{total}"
    share = min(1.0, view.step / view.total_steps)
    cells = max(8, min(30, width - 56))
    full = int(share * cells)
    bar = "━" * full + ("╸" if full < cells else "") + "─" * (cells - full - 1)
    rate, time_left = figures.tokens_per_s(view).value, figures.time_left(view)
    speed = f"  {words.count(rate)} tokens/s" if rate is not None else ""
    about = "about " if time_left.about else ""
    left = f"  {about}{words.duration(time_left.value)} left" if time_left.value else ""
    return f"{step}/{total} {bar} {100 * share:.0f} %{speed}{left}"


def _sparkline(values: list[float], cells: int) -> str:
    cells = max(1, min(cells, len(values)))
    edges = [round(at * len(values) / cells) for at in range(cells + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(_SPARKS[min(7, int(8 * (mean - low) / span))] for mean in means)
