"""`backprop plan DATA`: what a run would take, and whether to start it. Exit 0 is go, 1 is no-go."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import add_json
from backprop_tui.cli.train import compose, parse_assignments
from backprop_tui.launch.plan.forecast import Forecast
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK
from backprop_tui.protocol.text import safe_text

_SIGNS: dict[str, tuple[str, Style]] = {
    "ok": ("✓ ok", "good"), "warn": ("· warn", "warn"), "fail": ("✗ no", "bad"), "unknown": ("– ?", "dim"),
}  # fmt: skip
_BASIS = {"measured": "measured", "scaled": "from other runs", "guess": "a guess", "unknown": ""}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("data", metavar="DATA", help="as in `backprop train`, or `demo`")
    parser.add_argument("-m", "--model", help="model directory, hub id, or `demo` (the setting `model` if absent)")
    parser.add_argument("-p", "--preset", help="where the settings start from (the setting `preset` if absent)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="change a setting, as in train"
    )
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Print the plan; exit 1 when something speaks against it."""
    from backprop_tui.config.settings import load_settings
    from backprop_tui.launch.advising import planned_sizes, said
    from backprop_tui.launch.plan.looking import judge

    preferred = load_settings()
    overrides = parse_assignments(args.settings)
    overrides["path"] = args.data
    spec = compose(args.preset or preferred.preset, overrides, model=args.model, fallback_model=preferred.model)
    verdict = judge(spec)
    advice = said(verdict.spec, planned_sizes(verdict.spec, verdict.plan))
    if args.json:
        out.json(
            {
                "go": verdict.go,
                "plan": verdict.plan.to_dict(),
                "checks": [check.to_dict() for check in verdict.checks],
                "micro_batch": verdict.auto,
                "advice": advice,
            }
        )
        return EXIT_OK if verdict.go else EXIT_FAILED
    _show(verdict.plan, out)
    if verdict.auto:
        out.line(f"\n{verdict.auto}")
    out.line()
    for check in verdict.checks:
        sign, style = _SIGNS[check.level]
        out.line(f"{out.style(f'{sign:<6}', style)}  {check.words}")
        if check.next_step:
            out.line(f"        {out.style(check.next_step, 'dim')}")
    out.line()
    for words_said in advice:
        out.line(out.style(safe_text(words_said), "dim"))
    out.line()
    out.line(out.style("go", "good") if verdict.go else out.style("no go", "bad"))
    return EXIT_OK if verdict.go else EXIT_FAILED


def _show(plan: Forecast, out: Output) -> None:
    out.line(out.style(f"memory on {safe_text(plan.device, limit=60)}", "bold"))
    if plan.memory is None:
        out.line(f"  {words.UNKNOWN}  {safe_text(plan.memory_reason)}")
    else:
        for name, size in plan.memory.parts.items():
            if size:
                out.line(f"  {name:<14}{words.size(size):>9}")
        out.line(f"  {'process':<14}{words.size(plan.process):>9}  libraries, beside the tensors")
        room = f"of {words.size(plan.room)} that may be used" if plan.room is not None else ""
        rough = "roughly; " if plan.rough else ""
        batch = f"{rough}{plan.batch_size} rows of at most {words.count(plan.longest)} tokens"
        out.line(f"  {out.style('peak', 'bold')}          {words.size(plan.peak):>9}  {room} ({batch})")
    about = "" if plan.exact else "about "
    rows = [
        ("rows", words.count(plan.rows), f"{words.count(plan.eval_rows)} held out"),
        ("steps", words.count(plan.steps), f"{words.count(plan.effective_batch)} rows each"),
        ("tokens", words.count(plan.tokens), f"{about}{words.count(plan.trained_tokens)} learnt"),
        ("weights", words.count(plan.parameters), f"{words.count(plan.trained_parameters)} trained"),
        ("time", words.duration(plan.seconds), _time(plan)),
        ("disk", words.size(plan.disk), f"{words.size(plan.checkpoint_bytes)} a checkpoint"),
    ]
    if plan.energy_wh is not None:
        rows.append(("energy", f"{plan.energy_wh / 1000:.2f} kWh", "at the power of earlier runs"))
    if plan.cost is not None:
        rows.append(("cost", f"{plan.cost:.2f} {plan.currency}".rstrip(), ""))
    out.line()
    for name, value, note in rows:
        out.line(f"{name:<10}{value:>14}  {out.style(note, 'dim')}")


def _time(plan: Forecast) -> str:
    if plan.seconds is None:
        return safe_text(plan.rate.words)
    span = f"{words.duration(plan.seconds_low)} to {words.duration(plan.seconds_high)}"
    return f"{span}, {_BASIS[plan.rate.basis]} ({safe_text(plan.rate.words)})"
