"""`backprop train DATA`: start a run and stay with it, or not."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.cli import queue_words, slurm
from backprop_tui.cli.follow import follow_as_json, follow_as_lines, on_terminal, show_panel
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json
from backprop_tui.cli.rewards import add_trust, confirm_rewards
from backprop_tui.protocol.errors import EXIT_OK, BackpropError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec


def add_arguments(parser: ArgumentParser, *, several: bool = False) -> None:
    """Declare what the command takes; `several` lets DATA be given more than once."""
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="+" if several else None,
        help="jsonl, json, csv, tsv, parquet, txt or md file, or `demo`",
    )
    parser.add_argument("-m", "--model", help="model directory, hub id, or `demo` (the setting `model` if absent)")
    parser.add_argument("-p", "--preset", help="where the settings start from (the setting `preset` if absent)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="change a setting; may be given often; `backprop presets --settings` lists them",
    )
    parser.add_argument("--name", help="what the run is called")
    add_trust(parser)
    add_ways_to_stay(parser)
    queue_words.add_arguments(parser)
    if not several:
        slurm.add_arguments(parser)


def add_ways_to_stay(parser: ArgumentParser) -> None:
    """What `train` and `demo` share: panel, lines, JSON, or nothing at all."""
    parser.add_argument("--headless", action="store_true", help="print progress lines instead of opening the panel")
    parser.add_argument("--detach", action="store_true", help="start the run, print its id and leave")
    add_json(parser, "print the run's events, a JSON object per line; with --detach one object naming the run")


def run(args: Namespace, out: Output) -> int:
    """Start the run and stay with it."""
    from backprop_tui.config.recent import remember
    from backprop_tui.config.settings import load_settings
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.safety import unattended

    require("train")
    preferred = load_settings()
    overrides = parse_assignments(args.settings)
    overrides["path"] = args.data
    if args.name is not None:
        overrides["name"] = args.name
    preset = args.preset or preferred.preset
    queued = queue_words.wanted(args)
    as_job = slurm.wanted(args)
    if queued and as_job:
        raise UsageError("USAGE", "--queue and --slurm are two ways of waiting.", "Choose one.")
    if as_job:
        slurm.prepare(overrides)
    spec = compose(preset, overrides, model=args.model, fallback_model=preferred.model)
    trusted = confirm_rewards(spec, args.trust_rewards, out)
    if as_job:
        return slurm.run_as_job(spec, args, preset, trusted, out)
    if queued:
        return queue_words.put(spec, args, trusted, out)
    if not (args.detach or shown_on_panel(args, out)):
        # Lines are followed by pipes, CI and jobs, where nobody would see it wait.
        spec = unattended(spec)
    started = launch(spec, trusted)
    if spec.data.path != "demo":
        remember("data", str(Path(spec.data.path).expanduser().absolute()))
    if spec.model.base != "demo":
        remember("model", spec.model.base)
    return stay_with(started, args, out)


def parse_assignments(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as overrides by key; the last of a key wins.

    Raises:
        UsageError: no `=`, or an unknown key.
    """
    from backprop_tui.protocol.fields import find_setting

    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(
                "USAGE", f"--set takes KEY=VALUE, not {safe_text(pair, limit=80)!r}.", "Write --set lr=1e-4."
            )
        overrides[find_setting(key).key] = value
    return overrides


def compose(preset: str, overrides: dict[str, Any], *, model: str | None, fallback_model: str = "demo") -> RunSpec:
    """The spec of a preset with overrides; the model asked for wins over the preset's, the fallback does not.

    Raises:
        UsageError: unknown preset or setting, a value out of bounds, or an override that would do nothing.
    """
    from backprop_tui.config.presets import find_preset, preset_spec
    from backprop_tui.data.models import resolve_model
    from backprop_tui.launch.advising import advised_spec
    from backprop_tui.protocol.effects import refuse_without_effect

    if model is not None:
        overrides["base"] = model
    elif not {"base", "model", "model.base"} & {*find_preset(preset).settings, *overrides}:
        overrides["base"] = fallback_model
    # The preset and the settings are judged first; what is wrong with the model is left to the launch, which says it.
    spec = preset_spec(preset, None, overrides)
    refuse_without_effect(spec, overrides)
    try:
        directory = resolve_model(spec.model.base, spec.model.revision)
    except BackpropError:
        return spec
    return advised_spec(preset, directory, overrides)


def launch(spec: RunSpec, trusted: Sequence[str] = ()) -> RunDir:
    """Start the run in a process of its own; it outlives this one. `trusted` is as `start_run` takes it."""
    from backprop_tui.launch.start import start_run

    return start_run(spec, trusted=trusted)


def stay_with(started: RunDir, args: Namespace, out: Output) -> int:
    """Leave, follow as JSON, open the panel, or follow as lines."""
    if args.detach:
        return tell(started, out)
    if args.json:
        return follow_as_json(started, out)
    if shown_on_panel(args, out):
        return show_panel(started, out, args.preferences)
    return follow_as_lines(started, out)


def shown_on_panel(args: Namespace, out: Output) -> bool:
    """Whether the run will be followed on a full screen, where a person can answer."""
    return not (args.detach or args.json or args.headless) and on_terminal(out)


def tell(started: RunDir, out: Output) -> int:
    """Name a run that was started: its id on stdout for scripts, the rest in words."""
    if out.as_json:
        out.json({"run": started.id, "short_id": started.short_id, "path": str(started.path)})
        return EXIT_OK
    out.line(started.id)
    out.say(f"Started. `backprop attach {started.short_id}` shows it, `backprop stop {started.short_id}` ends it.")
    return EXIT_OK
