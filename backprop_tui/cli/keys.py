"""`backprop config keys`: every action of the app with its keys, what is wrong with the person's own, and the manual's page."""

from __future__ import annotations

from backprop_tui.app.actions import SCOPES, Action, registry
from backprop_tui.app.keycheck import AROUND, Keymap, check_keymap
from backprop_tui.app.keynames import key_words
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, EXIT_USAGE
from backprop_tui.protocol.text import safe_text

_HEAD = """\
# Keys

Made by `backprop config keys --markdown`; a test compares it with the program.

What has the focus answers first, then the room around it, then the app, so one key can mean different things in different
places. Arrows and vim's letters (`h j k l`, `g G`, `ctrl+d ctrl+u`) move wherever a list, a table or a text has the focus. A
letter that a room needs keeps the room's meaning there: `g` launches on Tune, goes to a row on Data and changes the layout of
a chart, where `Home` is the first line; `h` and `l` move where there is something to the left and right.

Any action can have other keys, in `settings.toml` (`backprop config path`):

```toml
[keys]
"run.stop" = "X"
"shell.settings" = "ctrl+o, F9"
```

The left side is the action's name from the tables below, the right side one or more keys, separated by commas: a character
(`X`, `?`), a name (`F5`, `space`, `escape`, `pageup`, `comma`), or one with `ctrl+`, `alt+` or `shift+`. An entry that would
give one key two meanings in one place is not taken over; the app says so when it starts, and `backprop config keys` lists
everything that is wrong.
"""


def run(out: Output, *, markdown: bool = False) -> int:
    """List actions and keys; 2 when an entry of `[keys]` is not taken over."""
    if markdown:
        out.raw(page())
        return EXIT_OK
    from backprop_tui.config.settings import load_settings

    keymap = check_keymap(load_settings().keys)
    if out.as_json:
        problems = [{"action": p.action, "kind": p.kind, "text": p.text, "refused": p.refused} for p in keymap.problems]
        out.json({"actions": [_words(action, keymap) for action in registry().values()], "problems": problems})
    else:
        rows = []
        for action in registry().values():
            keys = " ".join(key_words(key) for key in keymap.of(action))
            changed = "yours" if action.id in keymap.keys else ""
            rows.append((action.id, keys, changed, _does(action)))
        out.table(("action", "keys", "", "does"), rows, flexible=3)
        for problem in keymap.problems:
            out.say(f"{problem.kind}: {safe_text(problem.text, limit=300)}")
    return EXIT_USAGE if any(problem.refused for problem in keymap.problems) else EXIT_OK


def page() -> str:
    """docs/keys.md."""
    parts = [_HEAD]
    for scope, title in SCOPES.items():
        actions = [action for action in registry().values() if action.scope == scope]
        if not actions:
            continue
        around = [SCOPES[outer] for outer in AROUND.get(scope, ()) if outer in SCOPES]
        where = f"Around it answer: {', '.join(around)}.\n\n" if around and scope != "list" else ""
        parts.append(f"## {title}\n\n{where}| keys | action | what it does |\n|---|---|---|\n")
        parts += [f"| {_code(action.own_keys)} | `{action.id}` | {_cell(_does(action))} |\n" for action in actions]
    return "\n".join(_joined(parts))


def _joined(parts: list[str]) -> list[str]:
    """Rows stay together, sections are a blank line apart."""
    sections: list[str] = []
    for part in parts:
        if part.startswith("|"):
            sections[-1] += part
        else:
            sections.append(part)
    return sections


def _does(action: Action) -> str:
    return f"{action.title}{'' if action.title.endswith('…') else '.'} {action.help}"


def _words(action: Action, keymap: Keymap) -> dict[str, object]:
    return {
        "id": action.id,
        "keys": list(keymap.of(action)),
        "default": list(action.own_keys),
        "scope": action.scope,
        "title": action.title,
        "help": action.help,
        "changed": action.id in keymap.keys,
    }


def _code(keys: tuple[str, ...]) -> str:
    return " ".join("`` ` ``" if key_words(key) == "`" else f"`{_cell(key_words(key))}`" for key in keys)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
