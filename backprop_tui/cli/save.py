"""`backprop save RUN OUT`: the result, for use outside this program."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import find_run


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser, required=True)
    parser.add_argument("out", metavar="OUT", help="directory to make; it must not hold anything yet")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Copy the delivered checkpoint's model files."""
    from backprop_tui.library import Run

    found = Run(find_run(args.run))
    place = found.save(args.out)
    files = sorted(place.iterdir())
    if args.json:
        out.json({"run": found.id, "path": str(place), "files": [file.name for file in files]})
        return EXIT_OK
    out.line(str(place))
    total = sum(file.stat().st_size for file in files)
    out.say(f"{len(files)} files, {words.size(total)}.")
    if (place / "adapter_config.json").exists():
        out.say(f"Load with `AutoPeftModelForCausalLM.from_pretrained({safe_text(place)!r})`.")
    else:
        out.say(f"Load with `AutoModelForCausalLM.from_pretrained({safe_text(place)!r})`.")
    return EXIT_OK
