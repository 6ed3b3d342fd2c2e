"""`backprop presets [NAME]`: starting points, and every setting with its bounds."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json
from backprop_tui.config.presets import find_preset, load_presets, preset_problems
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.text import safe_text


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="show this preset's settings")
    parser.add_argument("--settings", action="store_true", help="list every setting that --set takes")
    parser.add_argument(
        "-m", "--model", help="work out for this model what NAME leaves to advice: a directory, a hub id, `demo`"
    )
    parser.add_argument("-d", "--data", help="and for these rows")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """List presets or settings."""
    if args.settings:
        _settings(args.name, out)
    elif args.name is None:
        _presets(out)
    else:
        _one(args.name, args.model, args.data, out)
    return EXIT_OK


def _presets(out: Output) -> None:
    presets = load_presets()
    if out.as_json:
        out.json([_words(name) for name in presets])
        return
    out.table(("preset", "about"), ((out.style(name, "bold"), preset.about) for name, preset in presets.items()))
    for problem in preset_problems():
        out.say(str(problem))


def _one(name: str, model: str | None, data: str | None, out: Output) -> None:
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.data.models import resolve_model
    from backprop_tui.launch.advising import advised_spec, found_sizes, said
    from backprop_tui.protocol.fields import find_setting, format_value

    preset = find_preset(name)
    given = {key: value for key, value in (("base", model), ("path", data)) if value is not None}
    place = None if model is None else resolve_model(model)
    # Rows are tokenised for the rank's sake only where somebody named them.
    spec = advised_spec(name, place, given) if data is not None else preset_spec(name, place, given)
    sizes = found_sizes(spec, place, rows=data is not None)
    advice = said(spec, sizes)
    if out.as_json:
        out.json({**_words(name), "spec": spec.model_dump(mode="json"), "advice": advice})
        return
    out.line(f"{out.style(preset.name, 'bold')}  {preset.about}")
    out.line(out.style(safe_text(preset.path), "dim"))
    rows = []
    for key, written in preset.settings.items():
        setting = find_setting(key)
        value = format_value(setting, setting.get(spec))
        if written == "advised":
            value = f"advised, {value}" if model is not None else "advised"
        rows.append((setting.key, safe_text(value), setting.unit, setting.help))
    out.table(("setting", "value", "unit", "help"), rows, right=(1,), flexible=3)
    if preset.source:
        out.line(f"\n{out.style('from', 'bold')}  {preset.source}")
    for line in advice:
        out.line(out.style(safe_text(line), "dim"))


def _settings(name: str | None, out: Output) -> None:
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.protocol.fields import format_value, settings
    from backprop_tui.protocol.spec import RunSpec

    spec = preset_spec(name) if name else RunSpec()
    if out.as_json:
        out.json(
            [
                {
                    "key": s.key,
                    "alias": s.alias,
                    "section": s.section,
                    "help": s.help,
                    "unit": s.unit,
                    "kind": s.kind,
                    "choices": list(s.choices),
                    "minimum": s.minimum,
                    "maximum": s.maximum,
                    "value": s.get(spec),
                    "advanced": s.advanced,
                    "when": s.when,
                }
                for s in settings()
            ]
        )
        return
    rows = []
    for setting in settings():
        alias = f" ({setting.alias})" if setting.alias else ""
        about = setting.help + (f": {', '.join(setting.choices)}" if setting.choices else "")
        rows.append((setting.key + alias, safe_text(format_value(setting, setting.get(spec))), setting.unit, about))
    out.table(("setting", "value" if name else "default", "unit", "help"), rows, right=(1,), flexible=3)


def _words(name: str) -> dict[str, Any]:
    preset = find_preset(name)
    return {
        "name": preset.name,
        "title": preset.title,
        "about": preset.about,
        "source": preset.source,
        "bundled": preset.bundled,
        "path": str(preset.path),
        "settings": dict(preset.settings),
    }
