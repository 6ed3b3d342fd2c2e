"""What DVC and git know of a file is read, and nothing of theirs is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.data.finding.places import resolve
from backprop_tui.data.versions.fingerprint import describe_sources, stale_pins
from backprop_tui.data.versions.pins import DvcPin, dvc_pin, git_folder, parse_dvc

ROW = b'{"question": "q", "answer": "a"}\n'
MD5 = hashlib.md5(ROW).hexdigest()


def git(place: Path, *words: str) -> None:
    who = [
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@example.org",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=m",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *who, *words], cwd=place, check=True, capture_output=True, env=environment)


def described(path: Path) -> dict[str, Any]:
    (source,) = describe_sources(resolve(str(path)))
    (file,) = source["files"]
    return dict(file)


def write_pin(path: Path, md5: str, extra: str = "  size: 33\n  hash: md5\n") -> None:
    path.with_name(f"{path.name}.dvc").write_text(f"outs:\n- md5: {md5}\n{extra}  path: {path.name}\n")


def test_a_dvc_pin_is_compared_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW)
    assert described(path)["dvc"] is None
    write_pin(path, MD5)
    assert described(path)["dvc"] == {"md5": MD5, "fresh": True}
    path.write_bytes(ROW * 2)
    assert described(path)["dvc"] == {"md5": MD5, "fresh": False}


def test_one_warning_however_many_files_are_stale(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        (tmp_path / name).write_bytes(ROW)
        write_pin(tmp_path / name, MD5 if name == "c.jsonl" else "0" * 32)
    (warning,) = stale_pins({"sources": [{"sources": describe_sources(resolve(str(tmp_path)))}]})
    assert warning.code == "DATA_DVC_STALE"
    assert warning.severity == "warn"
    assert "a.jsonl and 1 more file" in warning.cause
    (tmp_path / "a.jsonl.dvc").unlink()
    write_pin(tmp_path / "b.jsonl", MD5)
    assert stale_pins({"sources": [{"sources": describe_sources(resolve(str(tmp_path)))}]}) == []


def test_old_dvc_took_text_with_line_feeds(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW.replace(b"\n", b"\r\n"))
    write_pin(path, MD5, extra="")
    assert described(path)["dvc"]["fresh"] is True
    write_pin(path, MD5)
    assert described(path)["dvc"]["fresh"] is False, "DVC 3 takes every byte as it is"


def test_a_folder_that_dvc_keeps_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(ROW)
    write_pin(folder, f"{MD5}.dir", "  nfiles: 1\n")
    (source,) = describe_sources(resolve(str(folder)))
    assert source["dvc"] == {"md5": f"{MD5}.dir", "fresh": None}
    assert stale_pins({"sources": [{"sources": [source]}]}) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "outs:",
        "outs: []\n",
        "not: yaml: at all\n\t- ]",
        "outs:\n- md5: short\n  path: x",
        "\0" * 100,
        "deps:\n- md5: " + MD5,
    ],
)
def test_what_is_no_pin_is_none(text: str, tmp_path: Path) -> None:
    assert parse_dvc(text, "x") is None
    path = tmp_path / "x"
    path.with_name("x.dvc").write_text(text)
    assert dvc_pin(path) is None


def test_pins_as_dvc_writes_them() -> None:
    text = f"""# kept by dvc
md5: {"f" * 32}
frozen: true
deps:
- path: https://example.org/rows.jsonl
  md5: {"e" * 32}
outs:
- path: 'other.jsonl'
  md5: {"d" * 32}
-   md5: "{MD5}"
    size: 33
    hash: md5
    path: rows.jsonl
meta:
  path: rows.jsonl
"""
    assert parse_dvc(text, "rows.jsonl") == DvcPin(MD5, 33)
    assert parse_dvc(text, "third.jsonl") is None


def test_a_pin_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW)
    write_pin(tmp_path / "elsewhere", MD5)
    os.symlink(tmp_path / "elsewhere.dvc", tmp_path / "rows.jsonl.dvc")
    assert dvc_pin(path) is None
    os.mkfifo(tmp_path / "pipe.dvc")
    assert dvc_pin(tmp_path / "pipe") is None


def test_git_tells_commit_and_state(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW)
    assert described(path)["git"] is None
    git(tmp_path, "init")
    assert described(path)["git"] is None, "there is no commit yet"
    git(tmp_path, "add", "rows.jsonl")
    git(tmp_path, "commit", "-m", "rows")
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True).strip()
    assert described(path)["git"] == {"commit": head, "state": "committed"}
    (tmp_path / "new.jsonl").write_bytes(ROW)
    assert described(tmp_path / "new.jsonl")["git"] == {"commit": head, "state": "untracked"}
    path.write_bytes(ROW * 2)
    assert described(path)["git"] == {"commit": head, "state": "modified"}


def test_files_in_git_lfs_are_known_by_their_pointer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    git(tmp_path, "init")
    oid = hashlib.sha256(ROW).hexdigest()
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(ROW)}\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "pointer")
    path.write_bytes(ROW)
    assert described(path)["git"]["state"] == "committed"
    path.write_bytes(ROW * 2)
    assert described(path)["git"]["state"] == "modified"


def test_nothing_the_checkout_names_is_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "rows.jsonl", tmp_path / "ran"
    path.write_bytes(ROW)
    git(tmp_path, "init")
    git(tmp_path, "add", "rows.jsonl")
    git(tmp_path, "commit", "-m", "rows")
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {trace}\ncat\n")
    program.chmod(0o755)
    (tmp_path / ".gitattributes").write_text("*.jsonl filter=x diff=x\n")
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "diff.x.textconv",
        "core.pager",
    ):
        git(tmp_path, "config", key, str(program))
    hook = tmp_path / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes(program.read_bytes())
    hook.chmod(0o755)
    trace.unlink(missing_ok=True)
    path.write_bytes(ROW * 2)
    assert described(path)["git"]["state"] == "modified"
    assert not trace.exists()
    git(tmp_path, "status")
    assert trace.exists(), "the trap is set"


def test_without_git_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "nothing")
    assert git_folder(tmp_path) is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_folder(tmp_path) is None


def test_a_git_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.data.versions import pins

    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(pins, "_PATIENCE", 0.2)
    assert git_folder(tmp_path) is None


def test_a_checkout_named_by_the_environment_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init")
    git(other, "commit", "--allow-empty", "-m", "nothing")
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_folder(outside) is None
