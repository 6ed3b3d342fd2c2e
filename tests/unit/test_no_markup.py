"""Foreign text must never be parsed as markup: no call hands a widget a `str` that holds anything but our own words."""

from __future__ import annotations

import ast
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "backprop_tui" / "app"
#: Textual's calls and attributes that parse a `str` as markup.
PARSING_CALLS = {"Static", "Label", "Button", "Checkbox", "RadioButton", "Option", "Collapsible", "Tab", "notify"}
PARSING_METHODS = {"update", "add_option"}
PARSING_ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "placeholder"}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _made_of_variables(node: ast.expr) -> bool:
    """Whether an expression is a `str` built from something that is not a literal."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        return any(isinstance(side, (ast.Constant, ast.JoinedStr)) for side in (node.left, node.right))
    return isinstance(node, ast.Call) and _name(node.func) in ("format", "safe_text", "safe_block", "str", "join")


def dangers(source: str) -> list[int]:
    """Lines where text with variables reaches a call that parses markup."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = _name(node.func)
            method = isinstance(node.func, ast.Attribute) and name in PARSING_METHODS
            if (name in PARSING_CALLS or method) and any(_made_of_variables(argument) for argument in node.args):
                found.append(node.lineno)
            if name in ("from_markup", "escape", "from_ansi"):
                found.append(node.lineno)
        elif isinstance(node, ast.Assign):
            targets = {_name(target) for target in node.targets}
            if targets & PARSING_ATTRIBUTES and _made_of_variables(node.value):
                found.append(node.lineno)
    return found


def test_the_check_sees_what_it_is_for() -> None:
    assert dangers("Static(f'run {name}')") == [1]
    assert dangers("self.notify('x ' + name)") == [1]
    assert dangers("w.border_title = safe_text(name)") == [1]
    assert dangers("label.update(str(error))") == [1]
    assert dangers("Static(Content(name)); w.border_title = Content(name); Static('ours')") == []


def test_no_text_with_variables_is_parsed_as_markup() -> None:
    found = {
        f"{path.relative_to(APP)}:{line}" for path in sorted(APP.rglob("*.py")) for line in dangers(path.read_text())
    }
    assert not found
