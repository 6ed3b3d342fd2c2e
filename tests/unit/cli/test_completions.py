from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backprop_tui.cli.completions import candidates
from backprop_tui.store.layout import create_run


def test_commands_options_values_and_runs_are_offered() -> None:
    run = create_run({"name": "x"})
    assert candidates(["tr"]) == ["train"]
    assert candidates(["--ascii", "tr"]) == ["train"]
    assert "--detach" in candidates(["train", "--"])
    assert candidates(["train", "x.jsonl", "-p", "bal"]) == ["balanced"]
    assert candidates(["train", "x.jsonl", "--set", "ran"]) == ["rank="]
    assert candidates(["train", ""]) == ["__files__"]
    assert candidates(["stop", ""]) == [run.short_id]
    assert candidates(["stop", run.short_id, ""]) == []
    assert candidates(["set", run.short_id, ""]) == [run.short_id, "lr="]
    assert candidates(["completions", ""]) == ["bash", "zsh", "fish"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_bash_script_completes_in_a_real_bash(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "backprop")
    script = subprocess.run([program, "completions", "bash"], capture_output=True, text=True, check=True).stdout
    asked = (
        f"PATH={Path(program).parent}:$PATH\n{script}\n"
        "COMP_WORDS=(backprop train x.jsonl --preset qua); COMP_CWORD=4; _backprop 2>/dev/null; echo ${COMPREPLY[@]}\n"
    )
    done = subprocess.run(["bash", "--norc"], input=asked, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.strip() == "quality", done.stderr
