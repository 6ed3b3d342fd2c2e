"""Every refusal has a code, every code is asked for by a test, and every one says what to do next."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[2]
PACKAGE = HERE / "backprop_tui"
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|USAGE|UNEXPECTED")
#: Classes of refusals whose first words are their code.
REFUSALS = {"Check", "DataError", "Problem", "ProtocolError", "RowRejected", "RunFailed", "TryAgainError", "UnavailableError",
            "UsageError", "_alert"}  # fmt: skip
#: What only answers a fault of our own, or stands beside words that are tested and shown in its place.
WITHOUT = {
    "DATA_DUPLICATE": "a row that is left out is counted by its reason, which test_selection looks at",
    "METHOD_UNKNOWN": "the settings know the methods",
    "NOT_FINITE": "test_not_finite looks at its words",
    "NOTHING_HELD_OUT": "test_worker_control looks at its words",
    "NOT_PAUSED": "test_worker_control looks at its words",
    "NOT_SAVED": "test_disk_room looks at its words",
}


def refusals() -> Iterator[tuple[str, Path, ast.Call]]:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in REFUSALS:
                    for word in node.args[:2]:
                        if (
                            isinstance(word, ast.Constant)
                            and isinstance(word.value, str)
                            and CODE.fullmatch(word.value)
                        ):
                            yield word.value, file, node


def test_every_code_is_asked_for_by_a_test() -> None:
    codes = {code for code, _, _ in refusals()}
    assert len(codes) > 250, "they are found"
    tests = "\n".join(file.read_text(encoding="utf-8") for file in HERE.glob("tests/**/*.py") if file != Path(__file__))
    untested = {code for code in codes if not re.search(rf"\b{code}\b", tests)}
    assert untested == set(WITHOUT), "a new code has a test, and one that has one is not excused"


def test_every_refusal_says_what_to_do_next() -> None:
    silent = {
        f"{code} in {file.relative_to(HERE)}:{call.lineno}"
        for code, file, call in refusals()
        if getattr(call.func, "id", "") in {"DataError", "RunFailed", "TryAgainError", "UnavailableError", "UsageError"}
        and len(call.args) + len(call.keywords) < 3
        and not any(isinstance(word, ast.Starred) for word in call.args)
        and code not in WITHOUT
    }
    assert silent == set()
