"""What data was at the launch is noted, and other data is refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.data.finding.places import DataSet, Source, resolve
from backprop_tui.data.selection import scan
from backprop_tui.data.versions.fingerprint import describe_data
from backprop_tui.data.versions.launched import check_launched, check_trained, lasting_words, record_launch
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart


def write(path: Path, numbers: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"question": f"q{n:03}", "answer": f"a{n:03}"}) + "\n" for n in numbers))
    return path


def noted(part: DataPart, rows: int | None = None) -> dict[str, Any]:
    record = json.loads(json.dumps(record_launch(part)))
    if rows is not None:
        record["train"]["rows"] = rows
    return dict(record)


def refusal(part: DataPart, record: dict[str, Any]) -> str:
    with pytest.raises(DataError) as error:
        check_launched(part, record)
    assert error.value.code == "DATA_CHANGED"
    assert error.value.next_step
    return error.value.cause


def test_unchanged_data_passes_whatever_its_time(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", range(5))
    part = DataPart(path=str(path))
    record = noted(part)
    check_launched(part, record)
    os.utime(path, (1, 1))
    check_launched(part, record)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    check_launched(part, record)


def test_what_was_not_touched_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.data.versions import launched

    part = DataPart(path=str(write(tmp_path / "x.jsonl", range(5))))
    record = noted(part)
    monkeypatch.setattr(launched, "describe_file", lambda *_: pytest.fail("read"))
    check_launched(part, record)


def test_size_and_rows_then_and_now(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", range(5))
    part = DataPart(path=str(path))
    record, before = noted(part, 5), path.stat().st_size
    write(path, range(7))
    cause = refusal(part, record)
    assert f"x.jsonl had {before} bytes, and has {path.stat().st_size}; 5 rows then, 7 now." in cause
    path.write_bytes(path.read_bytes()[:100])  # inside the third row
    assert "5 rows then, 3 now" in refusal(part, record)


def test_other_content_of_the_same_size(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", range(5))
    part = DataPart(path=str(path))
    record = noted(part, 5)
    write(path, range(1, 6))
    assert "x.jsonl has other content of the same size" in refusal(part, record)


def test_with_the_time_put_back_it_is_found_once_the_rows_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", range(5))
    part = DataPart(path=str(path))
    record, state = noted(part), path.stat()

    def trained() -> dict[str, Any]:
        data = resolve(str(path))
        return {"sources": [describe_data(data, scan(data, part))]}

    check_trained(record, trained())
    with path.open("r+b") as file:
        file.write(path.read_bytes().replace(b"q000", b"Q000"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    check_launched(part, record)
    with pytest.raises(DataError, match=r"x\.jsonl has other content") as error:
        check_trained(record, trained())
    assert error.value.code == "DATA_CHANGED"


def test_files_that_came_and_went(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in "abc":
        write(folder / f"{name}.jsonl", range(3))
    part = DataPart(path=str(folder))
    record = noted(part, 9)
    write(folder / "d.jsonl", range(2))
    write(folder / "e.jsonl", range(2))
    assert "d.jsonl was not there, and 1 more files; 9 rows then, 13 now" in refusal(part, record)
    for name in "abde":
        (folder / f"{name}.jsonl").unlink()
    assert "a.jsonl is gone, and 1 more files; 9 rows then, 3 now" in refusal(part, record)


def test_held_out_data_is_watched_too(tmp_path: Path) -> None:
    train, held = write(tmp_path / "x.jsonl", range(5)), write(tmp_path / "held.jsonl", range(2))
    part = DataPart(path=str(train), eval_path=str(held))
    record = noted(part, 5)
    write(held, range(3))
    cause = refusal(part, record)
    assert "held-out held.jsonl had" in cause
    assert "rows then" not in cause, "the rows counted are those to learn from"


def test_the_demo_may_move_with_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.config import paths

    record = noted(DataPart())
    places = {kind: tmp_path / paths.demo_data_file(kind).name for kind in ("train", "eval")}
    for kind, place in places.items():
        place.write_bytes(paths.demo_data_file(kind).read_bytes())
    monkeypatch.setattr(paths, "demo_data_file", lambda split="train", kind="": places[split])
    check_launched(DataPart(), record)
    with places["eval"].open("ab") as file:
        file.write(b"\n")
    assert "held-out" in refusal(DataPart(), record)


def test_a_record_of_something_else_is_no_reason(tmp_path: Path) -> None:
    part = DataPart(path=str(write(tmp_path / "x.jsonl", range(5))))
    for record in ({}, {"train": None}, {"train": 5, "eval": []}):
        check_launched(part, record)
        check_trained(record, {"sources": [{}]})


def test_noting_can_be_cancelled(tmp_path: Path) -> None:
    part = DataPart(path=str(write(tmp_path / "x.jsonl", range(5))))
    with pytest.raises(InterruptedError):
        record_launch(part, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("words", "lasting"),
    [
        ("demo", "demo"),
        ("demo + 0.25x x.jsonl", "demo + 0.25x {0}/x.jsonl"),
        ("2x sub", "2x {0}/sub"),
        ("z.json#data.rows", "{1}/z.json#data.rows"),
        ("sub/2x y.jsonl + x.jsonl", "{0}/sub/2x y.jsonl + {0}/x.jsonl"),
        ("a + b", "{0}/a + b"),
        ("a + b/c.jsonl + x.jsonl", "{0}/a + b/c.jsonl + {0}/x.jsonl"),
        ("*.jsonl", "{1}/*.jsonl"),
        ("3x sub/../**/*.jsonl", "3x {1}/**/*.jsonl"),
        ("0.000000001x x.jsonl", "0.000000001x {0}/x.jsonl"),
    ],
)
def test_words_that_last(words: str, lasting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a directory whose name looks like two sources, or like a pattern."""
    place = tmp_path / "me + [you]"
    for name in ("x.jsonl", "sub/2x y.jsonl", "a + b/c.jsonl"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        write(place / name, range(2))
    (place / "z.json").write_text(json.dumps({"data": {"rows": [{"text": "t"}]}, "other": [1]}))
    monkeypatch.chdir(place)
    before = resolve(words)
    full = lasting_words(before)
    assert full == lasting.format(place, f"{tmp_path}/me[ ]+ [[]you]")
    monkeypatch.chdir("/")
    again = resolve(full)
    assert lasting_words(again) == full
    facts = [[(s.files, s.weight, s.field) for s in data.sources] for data in (before, again)]
    assert facts[0] == facts[1]


def test_a_dataset_of_the_hub_is_kept_by_its_commit(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", range(2))
    for words, lasting in (
        ("org/name", f"hf://datasets/org/name@{'a' * 40}"),
        ("hf://datasets/org/name@main/data/*.json#rows", f"hf://datasets/org/name@{'a' * 40}/data/*.json#rows"),
    ):
        field = words.partition("#")[2]
        data = DataSet((Source(words, "hub", (file,), 1.0, field, "a" * 40),))
        assert lasting_words(data) == lasting


def test_another_commit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.data import training_set

    file = write(tmp_path / ("a" * 40) / "x.jsonl", range(2))

    def at(commit: str) -> None:
        data = DataSet((Source("org/name", "hub", (file,), 1.0, "", commit),))
        monkeypatch.setattr(training_set, "resolve", lambda words: data)

    at("a" * 40)
    record = noted(DataPart(path="org/name"))
    check_launched(DataPart(path="org/name"), record)
    at("b" * 40)
    assert "org/name stood at commit aaaaaaaaaaaa, and is at bbbbbbbbbbbb" in refusal(DataPart(path="org/name"), record)
