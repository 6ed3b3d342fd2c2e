"""`backprop completions SHELL`: a short script that asks this program what fits, so it never goes out of date."""

from __future__ import annotations

from argparse import REMAINDER, SUPPRESS, Action, ArgumentParser, Namespace

from backprop_tui.cli.output import Output
from backprop_tui.cli.registry import COMMANDS
from backprop_tui.protocol.errors import EXIT_OK, BackpropError, UsageError
from backprop_tui.protocol.text import safe_text

#: An answer that tells the shell to complete file names itself.
_FILES = "__files__"
#: What takes the name of a file.
_FILE_NAMES = ("data", "file", "out", "model", "held_out", "before", "after")
_OPTIONS = ("--help", "--version", "--ascii", "--fresh", "--theme", "--profile")

_BASH = """\
_backprop() {
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}") answer
  answer=$(backprop completions answer -- "${words[@]}" 2>/dev/null)
  if [[ $answer == __files__ ]]; then
    compopt -o default; COMPREPLY=()
  else
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$answer" -- "${COMP_WORDS[COMP_CWORD]}"))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
  fi
}
complete -F _backprop backprop backprop-tui
"""
_ZSH = """\
#compdef backprop backprop-tui
_backprop() {
  local -a answer
  answer=("${(@f)$(backprop completions answer -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $answer == __files__ ]]; then _files; else compadd -- $answer; fi
}
compdef _backprop backprop backprop-tui
"""
_FISH = """\
function __backprop
  set -l typed (commandline -opc) (commandline -ct)
  set -l answer (backprop completions answer -- $typed[2..-1] 2>/dev/null)
  if test "$answer" = __files__
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answer
  end
end
complete -c backprop -f -a '(__backprop)'
complete -c backprop-tui -f -a '(__backprop)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = 'For bash: eval "$(backprop completions bash)"'
    parser.add_argument("shell", choices=[*_SCRIPTS, "answer"], metavar="bash|zsh|fish", help="the shell to print for")
    parser.add_argument("typed", nargs=REMAINDER, help=SUPPRESS)


def run(args: Namespace, out: Output) -> int:
    """Print the script, or answer its question."""
    if args.shell in _SCRIPTS:
        if args.typed:
            raise UsageError("USAGE", "completions takes one shell.", "Write `backprop completions bash`.")
        out.raw(_SCRIPTS[args.shell])
        return EXIT_OK
    typed = args.typed[1:] if args.typed[:1] == ["--"] else args.typed
    try:
        for candidate in candidates(typed or [""]):
            out.line(safe_text(candidate))
    except BackpropError:
        # Someone is typing: nothing fits (yet), and a message would land in the middle of the line.
        pass
    return EXIT_OK


def candidates(typed: list[str]) -> list[str]:
    """What may stand in the place of the last word, given the words before it (without `backprop`).

    Returns:
        Candidates that start with the last word; `__files__` alone means file names.
    """
    *before, last = typed
    while before and before[0].startswith("-"):
        before = before[2:] if before[0] in ("--theme", "--profile") else before[1:]
    if not before:
        return [name for name in (*COMMANDS, *_OPTIONS) if name.startswith(last)]
    name, *words = before
    from backprop_tui.cli.main import build_parser

    parser = build_parser(name)
    if name == "data" and words:
        from backprop_tui.cli.data import ACTIONS, action_parser

        # A word that is no action is the data to inspect.
        action, words = (words[0], words[1:]) if words[0] in ACTIONS else ("inspect", words)
        parser = action_parser(action)
    options = {option: action for action in parser._actions for option in action.option_strings}
    expecting = options.get(words[-1]) if words else None
    if expecting is not None and expecting.nargs != 0:
        found = _values(expecting, name)
    elif last.startswith("-"):
        found = [option for option in options if option.startswith("--")]
    else:
        positionals = [action for action in parser._actions if not action.option_strings]
        given = _positionals(words, options)
        at = min(given, len(positionals) - 1)
        spent = not positionals or (given >= len(positionals) and positionals[-1].nargs in (None, "?"))
        found = [] if spent else _values(positionals[at], name)
        if name == "data" and not words and not any(value.startswith(last) for value in found):
            found = [_FILES]
    return found if found == [_FILES] else [value for value in found if value.startswith(last)]


def _positionals(words: list[str], options: dict[str, Action]) -> int:
    count, skip = 0, False
    for word in words:
        if skip:
            skip = False
        elif word in options:
            skip = options[word].nargs != 0
        elif not word.startswith("-"):
            count += 1
    return count


def _values(action: Action, command: str) -> list[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices if choice != "answer"]
    if action.dest == "run" or command == "set":
        from backprop_tui.store.layout import list_runs

        return [run.short_id for run in list_runs()] + (["lr="] if command == "set" else [])
    if action.dest == "preset" or (command, action.dest) == ("presets", "name"):
        from backprop_tui.config.presets import load_presets

        return list(load_presets())
    if action.dest == "settings":
        from backprop_tui.protocol.fields import settings

        return [f"{setting.key}=" for setting in settings()]
    if command == "config":
        return ["set", "path"]
    if (command, action.dest) == ("data", "action"):
        from backprop_tui.cli.data import ACTIONS

        return list(ACTIONS)
    return [_FILES] if action.dest in _FILE_NAMES else []
