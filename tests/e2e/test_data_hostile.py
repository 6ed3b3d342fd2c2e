"""The whole hostile corpus through the command: each case ends in its named verdict, in words that do nothing to a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.data.purposes import OTHER
from tests.unit.data.hostile.cases import CASES, SECRET, Case, build

#: Runs many commands in one process, each with streams of its own, as `backprop` runs one.
_LOOP = """
import io, json, os, sys
from backprop_tui.cli.main import main
def once(argv):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    sys.stdout, sys.stderr = streams
    try:
        code = main(argv)
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return [code, *(stream.buffer.getvalue().decode("utf-8", "backslashreplace") for stream in streams)]
for line in sys.stdin:
    print(json.dumps(once(json.loads(line))), flush=True)
"""
_ACTIONS: dict[str, list[str]] = {
    "inspect": ["inspect", "{}", "--json", "--no-tokens"],
    "in words": ["inspect", "{}", "--no-tokens", "--problems", "0"],
    "rows": ["rows", "{}", "--raw", "--count", "30"],
    "columns": ["columns", "{}"],
    "filter": ["filter", "{}", "--min-chars", "1", "-o", "{out}/filter.jsonl"],
    "shuffle": ["shuffle", "{}", "-o", "{out}/shuffle.jsonl"],
    "convert": ["convert", "{}", "--to", "native", "-o", "{out}/convert.jsonl"],
    "overlap": ["overlap", "{}", "{}"],
    "fingerprint": ["fingerprint", "{}"],
}
#: A few kilobytes that hold 2.4 GB of rows: read once, not nine times, and not written anywhere.
_ONCE = {"8 MB repeated 300 times": ("inspect", "rows", "columns")}
_Done = tuple[int, str, str]


class _Runs:
    """What each action said of each case."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.done: dict[tuple[str, str], _Done] = {}
        self.outs: dict[str, Path] = {}

    def run(self) -> None:
        asked: list[tuple[str, str]] = []
        lines: list[str] = []
        for number, case in enumerate(CASES):
            folder = self._place / str(number)
            folder.mkdir()
            words = build(case, folder)
            self.outs[case.id] = folder / "out"
            self.outs[case.id].mkdir()
            for action, argv in _ACTIONS.items():
                if action not in _ONCE.get(case.id, _ACTIONS):
                    continue
                asked.append((case.id, action))
                filled = [word.replace("{out}", str(folder / "out")) for word in argv]
                lines.append(json.dumps(["data", *(words if word == "{}" else word for word in filled)]))
        done = subprocess.run(
            [sys.executable, "-c", _LOOP],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(asked), f"ended at {asked[len(answers)]}: {done.stderr[-2000:]}"
        self.done = {key: (answer[0], answer[1], answer[2]) for key, answer in zip(asked, answers, strict=True)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> _Runs:
    runs = _Runs(tmp_path_factory.mktemp("hostile"))
    runs.run()
    return runs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_inspecting_ends_in_the_named_verdict(case: Case, runs: _Runs) -> None:
    code, printed, said = runs.done[case.id, "inspect"]
    assert printed.count("\n") == 1
    found: dict[str, Any] = json.loads(printed)
    if case.error:
        assert found["error"]["code"] == case.error
        assert found["error"]["next"]
        assert said.startswith(f"{case.error}: ")
        assert code in (2, 65, 69)
        return
    assert said == ""
    assert code == (65 if found["verdict"] == "bad" else 0)
    others = sum(found["dropped"].get(reason, 0) for reason in OTHER.values())
    assert found["kept"] + others == case.kept
    assert found["rows"] == found["kept"] + sum(found["dropped"].values()) == case.kept + sum(case.dropped.values())
    counts = Counter(found["problem_counts"])
    for name, count in (Counter(case.dropped) + Counter(case.notes)).items():
        assert counts[name] == count
    listed = Counter(problem["code"] for problem in found["problems"])
    assert all(listed[name] == min(count, listed[name]) and listed[name] for name, count in counts.items())


@pytest.mark.parametrize("action", _ACTIONS)
def test_nothing_said_acts_on_a_terminal_or_tells_what_lies_outside(action: str, runs: _Runs) -> None:
    assert all(name in {case.id for case in CASES} for name in _ONCE)
    for case in CASES:
        if action not in _ONCE.get(case.id, _ACTIONS):
            continue
        code, printed, said = runs.done[case.id, action]
        assert code in (0, 2, 65, 69), (case.id, said)
        for text in (printed, said):
            assert "Traceback" not in text, case.id
            assert "UNEXPECTED" not in text, case.id
            assert not [sign for sign in text if sign != "\n" and not sign.isprintable()], case.id
            assert SECRET not in text, case.id
        assert (code == 0) or said or action in ("inspect", "in words"), case.id


def test_what_is_written_of_hostile_data_is_read_back_without_damage(runs: _Runs) -> None:
    from backprop_tui.data.finding.places import read_set, resolve

    written = 0
    for case in CASES:
        out = runs.outs[case.id]
        left = sorted(path.name for path in out.iterdir())
        assert all(not name.startswith(".") for name in left), case.id
        for name in left:
            rows = list(read_set(resolve(str(out / name))))
            assert rows, (case.id, name)
            assert all(row.problem is None for row in rows), (case.id, name)
            if name == "shuffle.jsonl":
                assert len(rows) == case.kept, case.id
            written += 1
    assert written > 40
