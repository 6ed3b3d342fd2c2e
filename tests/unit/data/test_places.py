"""What people write to name data, and what they get for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.data.finding import folders, places
from backprop_tui.data.finding.folders import matches
from backprop_tui.data.finding.places import DataSet, check_set, read_set, resolve
from backprop_tui.data.rows import Problem
from backprop_tui.protocol.errors import BackpropError, DataError, UsageError


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or ({"n": path.name},)))
    return path


def names(data: DataSet) -> list[str]:
    return [path.name for path in data.files]


def reasons(data: DataSet) -> dict[str, str]:
    return {path.name: reason for source in data.sources for path, reason in source.skipped}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_a_folder_a_pattern_and_the_demo(here: Path) -> None:
    write(here / "d" / "b.jsonl")
    write(here / "d" / "sub" / "a.csv")
    write(here / "d" / ".hidden" / "no.jsonl")
    write(here / "d" / ".no.jsonl")
    write(here / "d" / "picture.png")
    write(here / "d" / "README.md")
    assert names(resolve("d/b.jsonl")) == ["b.jsonl"]
    folder = resolve("d")
    assert names(folder) == ["b.jsonl", "a.csv"]
    assert [source.kind for source in folder.sources] == ["folder"]
    assert reasons(folder) == {"README.md": "about the data, not data"}
    assert names(resolve("d/*.jsonl")) == ["b.jsonl"]
    assert names(resolve("d/**/*.csv")) == ["a.csv"]
    assert names(resolve("**")) == ["b.jsonl", "a.csv"]
    assert names(resolve("d/*.md")) == ["README.md"]
    assert resolve("demo").files == (paths.demo_data_file(),)
    assert all(path.is_absolute() for path in folder.files)


def test_several_sources_and_weights(here: Path) -> None:
    write(here / "a.jsonl")
    write(here / "b.jsonl")
    data = resolve("2x a.jsonl + 0.5x b.jsonl + demo")
    assert [(source.words, source.weight, source.kind) for source in data.sources] == [
        ("a.jsonl", 2.0, "file"), ("b.jsonl", 0.5, "file"), ("demo", 1.0, "demo"),
    ]  # fmt: skip
    assert len(data.files) == 3


@pytest.mark.parametrize("name", ["2x a.jsonl", "a + b.jsonl", "x*[1].jsonl", "a.json#b", "org", "2x a + 3x b.jsonl"])
def test_what_exists_is_never_taken_for_anything_else(name: str, here: Path) -> None:
    write(here / name)
    write(here / "other.jsonl")
    assert names(resolve(name)) == [name]
    assert names(resolve(f"3x {name} + other.jsonl")) == [name, "other.jsonl"]
    assert resolve(f"3x {name} + other.jsonl").sources[0].weight == 3


def test_a_folder_whose_name_is_a_pattern_holds_patterns(here: Path) -> None:
    inside = here / "a[1]*"
    write(inside / "x.jsonl")
    os.chdir(inside)
    assert names(resolve("*.jsonl")) == ["x.jsonl"]


def test_a_field_chooses_among_lists(here: Path) -> None:
    (here / "x.json").write_text(json.dumps({"data": {"rows": [{"a": 1}], "old": [{"a": 2}]}, "n": 1}))
    with pytest.raises(DataError) as error:
        list(read_set(resolve("x.json")))
    assert error.value.code == "DATA_SEVERAL_LISTS"
    for words, value in zip(error.value.detail["words"], (1, 2), strict=True):
        assert words in error.value.next_step
        data = resolve(words)
        assert [row.value for row in read_set(data)] == [{"a": value}]
    with pytest.raises(DataError) as error:
        list(read_set(resolve("x.json#data.nothing")))
    assert error.value.code == "DATA_FIELD_MISSING"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("", "DATA_WORDS_INVALID"),
        ("  ", "DATA_WORDS_INVALID"),
        ("0x d", "DATA_WORDS_INVALID"),
        ("101x d", "DATA_WORDS_INVALID"),
        ("d +  + d", "DATA_WORDS_INVALID"),
        ("a\0b", "DATA_WORDS_INVALID"),
        ("d/*/../../*.jsonl", "DATA_WORDS_INVALID"),
        ("hf://models/org/name", "DATA_WORDS_INVALID"),
        ("hf://datasets/org/name/../../other", "DATA_WORDS_INVALID"),
        ("https://example.com/x.jsonl", "DATA_WORDS_INVALID"),
        ("nothing.jsonl", "DATA_FILE_MISSING"),
        ("d/nothing", "DATA_FILE_MISSING"),
        ("org/name.jsonl", "DATA_FILE_MISSING"),
        ("~nobody-at-all/x.jsonl", "DATA_FILE_MISSING"),
        ("x" * 5000, "DATA_FILE_MISSING"),
        ("empty", "DATA_FOLDER_EMPTY"),
        ("d/*.parquet", "DATA_GLOB_EMPTY"),
        ("nowhere/**/*.jsonl", "DATA_GLOB_EMPTY"),
        (" + ".join(["d"] * 101), "DATA_WORDS_INVALID"),
    ],
)
def test_words_that_name_nothing(words: str, code: str, here: Path) -> None:
    write(here / "d" / "x.jsonl")
    (here / "empty").mkdir()
    with pytest.raises(BackpropError) as error:
        resolve(words)
    assert error.value.code == code
    assert error.value.next_step
    assert isinstance(error.value, UsageError) == (code == "DATA_WORDS_INVALID")


def test_nothing_outside_the_folder_is_reached(here: Path) -> None:
    secret = write(here / "secret.jsonl")
    write(here / "private" / "p.jsonl")
    inside = write(here / "top" / "d" / "x.jsonl")
    (here / "top" / "d" / "out.jsonl").symlink_to(secret)
    (here / "top" / "d" / "up.jsonl").symlink_to("../../secret.jsonl")
    (here / "top" / "d" / "folder").symlink_to(here / "private")
    (here / "top" / "d" / "round").symlink_to(here / "top" / "d")
    (here / "top" / "d" / "again.jsonl").symlink_to(inside)
    (here / "top" / "d" / "nowhere.jsonl").symlink_to("/does/not/exist")
    os.mkfifo(here / "top" / "d" / "fifo.jsonl")
    (here / "top" / "d" / "device.jsonl").symlink_to("/dev/zero")
    (here / "top" / "d" / "folder.jsonl").mkdir()
    for words in ("top", "top/d", "top/**/*.jsonl", "top/d/*", "top/*/*"):
        data = resolve(words)
        assert names(data) == ["x.jsonl"], words
        found = reasons(data)
        assert found["out.jsonl"] == found["up.jsonl"] == "a link that leads out of the folder"
        assert found["folder"] == found["round"] == "a link to a folder"
        assert found["again.jsonl"] == "a link to a file that is part of it already"
        assert found["fifo.jsonl"] == "not a regular file"
        assert found["folder.jsonl"] == "a folder with the name of a file"
        assert "device.jsonl" in found
        assert "nowhere.jsonl" in found
    (here / "link.jsonl").symlink_to(secret)
    assert names(resolve("link.jsonl")) == ["link.jsonl"]
    inside.unlink()
    (here / "top" / "d" / "again.jsonl").unlink()
    with pytest.raises(DataError, match="left out"):
        resolve("top")


def test_too_many_files_and_names_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        write(here / "d" / f"{number}.jsonl")
    monkeypatch.setattr(folders, "MOST_FILES", 5)
    with pytest.raises(DataError) as error:
        resolve("d")
    assert error.value.code == "DATA_TOO_MANY_FILES"
    monkeypatch.setattr(folders, "MOST_FILES", 10)
    monkeypatch.setattr(folders, "MOST_NAMES", 5)
    with pytest.raises(DataError) as error:
        resolve("**/*.jsonl")
    assert error.value.code == "DATA_TOO_MANY_FILES"
    monkeypatch.setattr(folders, "MOST_NAMES", 500)
    monkeypatch.setattr(places, "MOST_FILES", 10)
    with pytest.raises(DataError) as error:
        resolve("d + d")
    assert error.value.code == "DATA_TOO_MANY_FILES"


def test_rows_of_several_files_know_their_file_and_count_through(here: Path) -> None:
    write(here / "a.jsonl", {"n": 1}, {"n": 2})
    (here / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"n":3}\nbroken\n{"n":4}\n')
    (here / "c.jsonl").write_text("\n\n")
    notes: list[Problem] = []
    data = resolve("a.jsonl + b.jsonl + c.jsonl + a.jsonl")
    rows = list(read_set(data, on_note=notes.append))
    assert [(row.index, row.file, row.line) for row in rows] == [
        (0, 0, 1), (1, 0, 2), (2, 1, 1), (3, 1, 2), (4, 1, 3), (5, 3, 1), (6, 3, 2),
    ]  # fmt: skip
    assert rows[3].problem is not None
    assert rows[3].problem.where.startswith("b.jsonl line 2 column 1")
    assert [(note.code, note.file, note.severity) for note in notes] == [
        ("DATA_BOM", "b.jsonl", "warn"), ("DATA_FILE_EMPTY", "c.jsonl", "warn"),
    ]  # fmt: skip
    assert check_set(data) == sum(path.stat().st_size for path in data.files)
    with pytest.raises(DataError) as error:
        list(read_set(resolve("c.jsonl")))
    assert error.value.code == "DATA_FILE_EMPTY"


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("a/b/c.x", "**/*.x", True),
        ("c.x", "**/*.x", True),
        ("a/c.x", "*/*.x", True),
        ("a/b/c.x", "*/*.x", False),
        ("a/b/c.x", "a/**", True),
        ("a/b/c.x", "**/b/**/c.*", True),
        ("a/b/c.x", "**/**/**", True),
        ("a/b/c.x", "a/[bc]/?.x", True),
        ("a/.b/c.x", "**/c.x", False),
        ("a/.b/c.x", "*/.*/c.x", True),
        ("a", "a/**/b", False),
        ("/".join("a" * 60), "**/a/" * 20 + "b", False),
    ],
)
def test_patterns(path: str, pattern: str, expected: bool) -> None:
    assert matches(tuple(path.split("/")), tuple(pattern.split("/"))) is expected
