"""`backprop config [set KEY VALUE | unset KEY | path | keys]`: this program's settings and where each comes from."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json
from backprop_tui.config import paths
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "words",
        metavar="set KEY VALUE | unset KEY | path | keys",
        nargs="*",
        help="`set` changes a setting, `unset` takes it back, `path` prints where they are kept, `keys` lists the keys of "
        "the app and what is wrong with yours; nothing shows all settings",
    )
    parser.add_argument("--markdown", action="store_true", help="with `keys`: the manual's page instead of a table")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Show or change the settings."""
    from backprop_tui.config.settings import drop_setting, save_setting, settings_file, unknown_variables

    if args.markdown and args.words != ["keys"]:
        raise UsageError("USAGE", "--markdown goes with `keys`.", "Write `backprop config keys --markdown`.")
    match args.words:
        case []:
            _show(out)
            for name in unknown_variables():
                out.say(f"{safe_text(name)} is set in the environment but means nothing.")
        case ["path"]:
            out.json({"path": str(settings_file())}) if out.as_json else out.line(str(settings_file()))
        case ["set", key, value]:
            save_setting(key, value)
            if out.as_json:
                _show(out)
            else:
                out.say(f"{key} is {safe_text(value)} from now on ({settings_file()}).")
        case ["unset", key]:
            drop_setting(key)
            if out.as_json:
                _show(out)
            else:
                out.say(f"{safe_text(key)} is not set in {settings_file()}.")
        case ["keys"]:
            from backprop_tui.cli import keys

            return keys.run(out, markdown=args.markdown)
        case _:
            raise UsageError("USAGE", "That is not a way to use config.", "Write `backprop config set KEY VALUE`.")
    return EXIT_OK


def _show(out: Output) -> None:
    from backprop_tui.config.settings import Settings, load_settings, sources
    from backprop_tui.config.settings_info import shown

    values, origin = load_settings(), sources()
    places = {"data": paths.data_dir(), "config": paths.config_dir(), "cache": paths.cache_dir()}
    if out.as_json:
        named = {key: {"value": getattr(values, key), "source": origin[key]} for key in Settings.model_fields}
        out.json({"settings": named, "places": {name: str(place) for name, place in places.items()}})
        return
    rows = []
    for key, field in Settings.model_fields.items():
        value = getattr(values, key)
        rows.append((key, safe_text(shown(value)), safe_text(origin[key]), field.description or ""))
    out.table(("setting", "value", "from", "is"), rows, flexible=3)
    out.line()
    out.table(("place", "path"), ((name, safe_text(place)) for name, place in places.items()))
