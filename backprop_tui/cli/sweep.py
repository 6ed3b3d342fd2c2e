"""`backprop sweep DATA --over lr=1e-4,2e-4 --over rank=8,16`: a run for each combination, queued, then ranked."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import Parser, add_json
from backprop_tui.cli.queue_words import gpu_list
from backprop_tui.cli.rewards import add_trust, confirm_rewards
from backprop_tui.cli.train import compose, parse_assignments
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.queue import Queue
from backprop_tui.store.sweeps import Sweep, Trial, list_sweeps, read_sweep, trials_of

_ACTIONS = ("show", "list", "stop", "resume")
_EPILOG = """\
actions in place of DATA (a file of that name is ./show):
  show [NAME]   the trials, the best first; the newest sweep if absent
  list          all sweeps
  stop NAME     ask for no more trials and take out those that wait; what runs goes on
  resume NAME   go on with it

--over KEY=A,B,C names values (parted by | where a value holds commas), KEY=LOW..HIGH or KEY=LOW..HIGH:log a range for Optuna.
The runs are found by `backprop runs --where sweep:NAME`."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    if isinstance(parser, Parser):
        parser.intermixed = True
    parser.usage = "backprop sweep DATA --over KEY=VALUES …\n       backprop sweep show|list|stop|resume [NAME]"
    parser.epilog = _EPILOG
    parser.add_argument("words", nargs="+", metavar="DATA", help="as in `backprop train`, or an action")
    parser.add_argument("-m", "--model", help="model directory, hub id, or `demo` (the setting `model` if absent)")
    parser.add_argument("-p", "--preset", help="where the settings start from (the setting `preset` if absent)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="a setting of all its runs"
    )
    parser.add_argument("--over", metavar="KEY=VALUES", action="append", default=[], help="vary a setting, see below")
    parser.add_argument("--search", choices=("grid", "optuna"), default="grid", help="every combination, or a search")
    parser.add_argument("--trials", type=int, metavar="N", help="runs of a search (20 if absent)")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="runs of a search at a time (1 if absent)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="where a search starts from")
    parser.add_argument("--metric", default="", help="what is ranked by (eval_loss, or loss where nothing is held out)")
    parser.add_argument("--goal", choices=("min", "max"), help="which end is better, where the metric does not say")
    parser.add_argument("--name", default="", help="what the sweep is called (sweep-1 and so on if absent)")
    parser.add_argument("--gpu", metavar="N[,N]", help="only on these GPUs, by index")
    add_trust(parser)
    add_json(parser, "print one JSON object")


def run(args: Namespace, out: Output) -> int:
    """Start a sweep, or show one."""
    action, *rest = args.words
    if action not in _ACTIONS:
        if rest:
            raise UsageError("USAGE", "A sweep takes one DATA.", "`backprop sweep --help` shows what it takes.")
        return _start(action, args, out)
    if args.over:
        raise UsageError("USAGE", f"`backprop sweep {action}` varies nothing.", f"A file of that name is ./{action}.")
    queue = Queue()
    if action == "list":
        return _list(queue, out)
    if len(rest) > 1 or (not rest and action != "show"):
        raise UsageError("USAGE", f"Write `backprop sweep {action} NAME`.", "`backprop sweep list` names them.")
    if action == "show":
        return _show(_meant(rest, queue), queue, out)
    return _steer(action, rest[0], queue, out)


def _start(data: str, args: Namespace, out: Output) -> int:
    from backprop_tui.config.settings import load_settings
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.queueing import ensure_runner
    from backprop_tui.launch.sweep import start_sweep
    from backprop_tui.launch.sweep_axes import parse_axes

    require("train")
    for name in ("trials", "parallel"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise UsageError("USAGE", f"--{name} takes a number of at least 1.", "Leave it out.")
    preferred = load_settings()
    axes = parse_axes(args.over)
    overrides = parse_assignments(args.settings)
    if both := [axis.key for axis in axes if axis.key in overrides]:
        raise UsageError("USAGE", f"{both[0]} is set and varied.", "Leave out --set or --over for it.")
    overrides["path"] = data
    # The first of what is varied: a setting that counts only with it must not be refused.
    overrides |= {axis.key: axis.ends[0] for axis in axes}
    spec = compose(args.preset or preferred.preset, overrides, model=args.model, fallback_model=preferred.model)
    queue = Queue()
    sweep = start_sweep(
        spec, axes, search=args.search, trials=args.trials, parallel=args.parallel, seed=args.seed,
        metric=args.metric, goal=args.goal, name=args.name, gpus=gpu_list(args.gpu), queue=queue,
        trusted=confirm_rewards(spec, args.trust_rewards, out),
    )  # fmt: skip
    if queue.held() is None:
        ensure_runner(queue)
    if args.json:
        out.json(_to_dict(sweep, trials_of(sweep, queue)))
        return EXIT_OK
    out.line(sweep.name)
    how = "runs are queued" if sweep.search == "grid" else "runs follow one another as results come in"
    out.say(f"{words.count(sweep.trials)} {how}. `backprop sweep show {sweep.name}` ranks them.")
    if queue.held() is not None:
        out.say("The queue is held; `backprop queue start` lets it go.")
    return EXIT_OK


def _steer(action: str, name: str, queue: Queue, out: Output) -> int:
    from backprop_tui.launch.queueing import ensure_runner
    from backprop_tui.launch.sweep import resume_sweep, stop_sweep

    if action == "stop":
        out.say(f"{words.count(stop_sweep(name, queue))} trials were taken out; what runs goes on.")
    else:
        out.say(f"{words.count(resume_sweep(name, queue))} trials wait again.")
        if queue.held() is None:
            ensure_runner(queue)
    return _show(read_sweep(name, queue.root), queue, out)


def _meant(rest: list[str], queue: Queue) -> Sweep:
    if rest:
        return read_sweep(rest[0], queue.root)
    newest = list_sweeps(queue.root)[:1]
    if not newest:
        raise UsageError("SWEEP_NONE", "There is no sweep yet.", "`backprop sweep DATA --over lr=1e-4,2e-4` makes one.")
    return newest[0]


def _show(sweep: Sweep, queue: Queue, out: Output) -> int:
    from backprop_tui.launch.queueing import look_after

    look_after(queue)
    trials = trials_of(sweep, queue)
    if out.as_json:
        out.json(_to_dict(sweep, trials))
        return EXIT_OK
    keys = list(sweep.over)
    head = ("place", "trial", *keys, sweep.metric, "state", "step", "run")
    right = (0, 1, 2 + len(keys), 4 + len(keys))
    out.table(head, (_cells(trial, keys, out) for trial in trials), right=right)
    done = sum(trial.finished for trial in trials)
    out.say(f"{done} of {sweep.trials} trials have finished; only those have a rank ({_goal(sweep)} is best).")
    for trial in trials:
        if trial.problem:
            out.say(f"trial {trial.number}: {safe_text(trial.problem, limit=300)}")
    if sweep.problem:
        out.say(safe_text(f"{sweep.problem.get('cause', '')} {sweep.problem.get('next', '')}", limit=400))
    return EXIT_OK


def _list(queue: Queue, out: Output) -> int:
    sweeps = list_sweeps(queue.root)
    if out.as_json:
        out.json([_to_dict(sweep, trials_of(sweep, queue)) for sweep in sweeps])
        return EXIT_OK
    rows = []
    for sweep in sweeps:
        trials = trials_of(sweep, queue)
        best = next((trial for trial in trials if trial.rank == 1), None)
        done = f"{sum(trial.finished for trial in trials)}/{sweep.trials}"
        varied = " ".join(f"{key}={text}" for key, text in sweep.over.items())
        value = words.loss(best.value) if best is not None else words.UNKNOWN
        rows.append((sweep.name, done, sweep.metric, value, safe_text(varied, limit=80), words.age(sweep.created)))
    if rows:
        out.table(("name", "done", "metric", "best", "over", "age"), rows, right=(1, 3, 5), flexible=4)
    else:
        out.say("No sweep yet. `backprop sweep DATA --over lr=1e-4,2e-4` makes one.")
    return EXIT_OK


def _cells(trial: Trial, keys: list[str], out: Output) -> tuple[str, ...]:
    from backprop_tui.launch.sweep_axes import words_of

    style: Style = "good" if trial.rank == 1 else "plain" if trial.finished else "dim"
    varied = [words_of({key: trial.params.get(key)}).partition("=")[2] for key in keys]
    run = trial.run.rsplit("-", 1)[-1] if trial.run else words.UNKNOWN
    step = f"{words.count(trial.step)}/{words.count(trial.total_steps)}" if trial.run else words.UNKNOWN
    cells = (words.count(trial.rank), str(trial.number), *varied, words.loss(trial.value), trial.state, step, run)
    return tuple(out.style(cell, style) for cell in cells)


def _to_dict(sweep: Sweep, trials: list[Trial]) -> dict[str, Any]:
    return {
        "name": sweep.name,
        "created": sweep.created,
        "search": sweep.search,
        "over": sweep.over,
        "metric": sweep.metric,
        "goal": sweep.goal,
        "trials": sweep.trials,
        "finished": sum(trial.finished for trial in trials),
        "problem": sweep.problem,
        "results": [
            {
                "rank": trial.rank,
                "trial": trial.number,
                "params": trial.params,
                "value": trial.value,
                "state": trial.state,
                "step": trial.step,
                "total_steps": trial.total_steps,
                "run": trial.run,
                "problem": trial.problem,
            }
            for trial in trials
        ],
    }


def _goal(sweep: Sweep) -> str:
    return "the smallest" if sweep.goal == "min" else "the largest"
