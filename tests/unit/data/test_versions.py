"""A dataset is known by its content, and two versions of it differ by file, row and setting, each by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.data.finding.places import read_set, resolve
from backprop_tui.data.training_set import build
from backprop_tui.data.versions.changes import Difference, compare
from backprop_tui.data.versions.columns_seen import ColumnsSeen
from backprop_tui.data.versions.compare import diff_data, read_fingerprint
from backprop_tui.data.versions.fingerprint import short_id
from backprop_tui.data.versions.identify import fingerprint_data
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from tests.support.models import CHATML, make_model

MODEL = demo_model_dir()


def row(number: object) -> dict[str, Any]:
    return {"question": f"q{number}", "answer": f"the answer is {number}"}


def write(path: Path, *rows: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{entry if isinstance(entry, str) else json.dumps(entry)}\n" for entry in rows))
    return str(path)


def numbered(path: Path, numbers: Any) -> str:
    return write(path, *map(row, numbers))


def counts(found: Difference) -> tuple[Any, Any, Any]:
    assert found.rows is not None
    return found.rows.added, found.rows.removed, found.rows.common


class TestFingerprint:
    def test_what_it_says(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl", *map(row, range(8)), {"text": "words"}, {"odd": 1}, '{"cut', row(3))
        found = fingerprint_data(path, seed=7)
        (described,) = found["sources"]
        assert (described["rows"], described["usable"]) == (12, 10)
        assert sum(described["dropped"].values()) == 2
        assert described["formats"] == {"question-answer": 9, "text": 1}
        assert described["columns"] == {"answer": 9, "question": 9, "odd": 1, "text": 1}
        (source,) = described["sources"]
        assert source["usable"] == 10
        (file,) = source["files"]
        sha256 = subprocess.check_output(["sha256sum", path], text=True).split()[0]
        assert file == {"name": "x.jsonl", "bytes": os.stat(path).st_size, "sha256": sha256, "dvc": None, "git": None}
        assert (found["seed"], found["tokenizer"], found["template"]) == (7, None, None)
        assert found["train"]["rows"] + found["eval"]["rows"] == 10
        assert json.loads(json.dumps(found)) == found

    def test_the_same_content_elsewhere_has_the_same_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = numbered(tmp_path / "x.jsonl", range(8))
        first = fingerprint_data(path)["id"]
        assert first.startswith("fp-")
        assert len(first) == 15
        moved = tmp_path / "elsewhere" / "y.jsonl"
        moved.parent.mkdir()
        shutil.copy(path, moved)
        os.utime(moved, (1, 1))
        monkeypatch.chdir(tmp_path)
        for words in (str(moved), "elsewhere", "elsewhere/*.jsonl", "./x.jsonl"):
            assert fingerprint_data(words)["id"] == first

    def test_a_pin_or_a_commit_is_no_content(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(8))
        first = fingerprint_data(path)
        Path(f"{path}.dvc").write_text(f"outs:\n- md5: {'0' * 32}\n  path: x.jsonl\n")
        second = fingerprint_data(path)
        assert second["sources"][0]["sources"][0]["files"][0]["dvc"]["fresh"] is False
        assert second["id"] == first["id"]
        assert compare(first, second).same

    @pytest.mark.parametrize(
        "changes",
        [{"filter": "chars > 1"}, {"eval_split": 0.5}, {"max_rows": 3}, {"order": "file"}, {"max_length": 16}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_every_setting_that_decides_about_rows_is_in_the_id(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        path = numbered(tmp_path / "x.jsonl", range(8))
        plain, other = fingerprint_data(path, DataPart()), fingerprint_data(path, DataPart(**changes))
        assert plain["id"] != other["id"]
        assert [change.what for change in compare(plain, other).changes] == [f"setting {name}" for name in changes]
        assert fingerprint_data(path, DataPart(), seed=1)["id"] != plain["id"]

    def test_with_a_model_it_is_what_a_run_stores(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(30))
        part = DataPart(path=path, eval_split=0.1)
        found = fingerprint_data(path, part, seed=3, model_dir=MODEL)
        built = build(part, MODEL, seed=3).fingerprint
        assert found == {"id": short_id(built), **built}
        assert found["train"]["quantiles"]["p50"] > 0

    def test_whether_damaged_rows_are_refused_changes_nothing_where_there_are_none(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(8))
        dropped, refused = fingerprint_data(path), fingerprint_data(path, DataPart())
        assert dropped["id"] == refused["id"]
        assert compare(dropped, refused).same
        write(tmp_path / "x.jsonl", row(1), "{")
        with pytest.raises(DataError):
            fingerprint_data(path, DataPart())

    def test_any_kind_of_rows(self, tmp_path: Path) -> None:
        pairs = [{"prompt": f"q{n}", "chosen": "good", "rejected": "bad"} for n in range(4)]
        prompts = [{"prompt": f"q{n}"} for n in range(4)]
        for name, rows in (("pairs", pairs), ("prompts", prompts)):
            found = fingerprint_data(write(tmp_path / f"{name}.jsonl", *rows))
            assert found["sources"][0]["usable"] == 4
        assert diff_data(str(tmp_path / "pairs.jsonl"), str(tmp_path / "pairs.jsonl")).same
        with pytest.raises(DataError):
            fingerprint_data(write(tmp_path / "nothing.jsonl", {"odd": 1}))

    def test_a_held_out_file_is_part_of_it(self, tmp_path: Path) -> None:
        path, held = numbered(tmp_path / "x.jsonl", range(8)), numbered(tmp_path / "held.jsonl", range(90, 93))
        part = DataPart(path=path, eval_path=held)
        first = fingerprint_data(path, part)
        assert len(first["sources"]) == 2
        assert (first["train"], first["eval"]) == ({"rows": 8}, {"rows": 3})
        numbered(tmp_path / "held.jsonl", range(90, 94))
        found = compare(first, fingerprint_data(path, part))
        assert not found.same
        assert found.rows is not None
        assert found.rows.same
        assert found.held_out_rows is not None
        assert found.held_out_rows.added == 1
        assert "held out: 3 rows then, 4 now (1 added, 0 removed)" in found.sentence()

    def test_columns_without_end_are_only_counted(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl", *({"question": "q", "answer": "a", f"id{n}": n} for n in range(9000)))
        seen = ColumnsSeen()
        for found in read_set(resolve(path)):
            seen.add(found.value)
        named, more = seen.named()
        assert len(named) == 64
        assert list(named.items())[:2] == [("answer", 9000), ("question", 9000)]
        assert more > 4000

    def test_it_is_the_same_in_every_process(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.jsonl", *({**row(n), f"c{n}": 1} for n in range(40)))
        script = (
            f"from backprop_tui.data.versions.identify import fingerprint_data\nprint(fingerprint_data({path!r})['id'])"
        )
        ids = {
            subprocess.check_output(
                [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, text=True
            )
            for seed in ("1", "2")
        }
        assert ids == {f"{fingerprint_data(path)['id']}\n"}

    def test_a_file_that_changes_meanwhile_is_refused(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(8))

        def grow(done: int, total: int | None) -> None:
            with Path(path).open("a") as file:
                file.write(json.dumps(row(99)) + "\n")

        with pytest.raises(DataError) as error:
            fingerprint_data(path, on_progress=grow)
        assert error.value.code == "DATA_CHANGED"


class TestDifference:
    def test_rows_added_and_removed_are_told_by_line(self, tmp_path: Path) -> None:
        old, new = (
            numbered(tmp_path / "x.jsonl", range(30)),
            numbered(tmp_path / "new" / "x.jsonl", [*range(2, 31), 77]),
        )
        found = diff_data(old, new)
        assert counts(found) == (2, 2, 28)
        assert found.rows is not None
        assert [(place.file, place.line, place.row) for place in found.rows.first_added] == [
            ("x.jsonl", 29, 29),
            ("x.jsonl", 30, 30),
        ]
        assert [place.line for place in found.rows.first_removed] == [1, 2]
        assert found.rows.first_added[1].excerpt.startswith("q77")
        (file,) = found.files
        assert (file.kind, file.name, file.before, file.after) == (
            "changed", "x.jsonl", os.stat(old).st_size, os.stat(new).st_size,
        )  # fmt: skip
        assert json.loads(json.dumps(found.to_dict()))["rows"]["added"] == 2
        assert found.lines()[1] == "30 rows then, 30 now (2 added, 2 removed)"

    def test_a_fingerprint_alone_names_new_lines_too(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(500))
        for model in (None, MODEL):
            stored = fingerprint_data(numbered(tmp_path / "x.jsonl", range(500)), DataPart(), model_dir=model)
            assert diff_data(stored, path).same
            numbered(tmp_path / "x.jsonl", [*range(3, 250), "new", *range(250, 500)])
            found = diff_data(json.loads(json.dumps(stored)), path)
            assert counts(found) == (1, 3, 497)
            assert found.rows is not None
            assert [place.line for place in found.rows.first_added] == [248]
            assert found.rows.first_removed == (), "the old file is gone"
            back = diff_data(path, stored)
            assert counts(back) == (3, 1, 497)
            assert back.rows is not None
            assert [place.line for place in back.rows.first_removed] == [248]

    def test_between_datasets_any_number_is_exact_and_with_a_fingerprint_it_may_be_unknown(
        self, tmp_path: Path
    ) -> None:
        old, new = numbered(tmp_path / "x.jsonl", range(900)), numbered(tmp_path / "y.jsonl", range(400, 2000))
        assert counts(diff_data(old, new)) == (1100, 400, 500)
        found = diff_data(fingerprint_data(old), new)
        assert counts(found) == (None, None, None)
        assert not found.same
        assert "900 rows then, 1,600 now (a great many differ)" in found.sentence()

    def test_order_alone(self, tmp_path: Path) -> None:
        old, new = numbered(tmp_path / "x.jsonl", range(9)), numbered(tmp_path / "y.jsonl", reversed(range(9)))
        found = diff_data(old, new)
        assert found.rows is not None
        assert found.rows.reordered
        assert not found.same
        assert "the same 9 rows in another order" in found.lines()

    def test_repeated_rows_count_as_often_as_they_occur(self, tmp_path: Path) -> None:
        old, new = numbered(tmp_path / "x.jsonl", [1, 1, 1, 2]), numbered(tmp_path / "y.jsonl", [1, 2, 2])
        assert counts(diff_data(old, new)) == (1, 2, 2)
        assert counts(diff_data(fingerprint_data(old), fingerprint_data(new))) == (1, 2, 2)

    def test_a_row_written_otherwise_is_the_same_row(self, tmp_path: Path) -> None:
        old = write(tmp_path / "x.jsonl", row(1), row(2))
        new = write(tmp_path / "y.jsonl", json.dumps(row(1), indent=None, separators=(",", ":")), row(2))
        found = diff_data(old, new)
        assert counts(found) == (0, 0, 2)
        assert not found.same, "the file is another one"
        assert [file.kind for file in found.files] == ["changed"]

    def test_files_of_a_folder(self, tmp_path: Path) -> None:
        for name in "abcd":
            numbered(tmp_path / "old" / f"{name}.jsonl", [f"{name}{n}" for n in range(3)])
        shutil.copytree(tmp_path / "old", tmp_path / "new")
        numbered(tmp_path / "new" / "b.jsonl", ["b0"])
        (tmp_path / "new" / "c.jsonl").rename(tmp_path / "new" / "z.jsonl")
        (tmp_path / "new" / "d.jsonl").unlink()
        numbered(tmp_path / "new" / "e.jsonl", ["e0", "e1"])
        numbered(tmp_path / "new" / "f.jsonl", ["f0"])
        found = diff_data(str(tmp_path / "old"), str(tmp_path / "new"))
        assert [(file.kind, file.name) for file in found.files] == [
            ("changed", "b.jsonl"), ("removed", "d.jsonl"), ("added", "e.jsonl"), ("added", "f.jsonl"), ("renamed", "c.jsonl"),
        ]  # fmt: skip
        assert counts(found) == (3, 5, 7)
        assert "c.jsonl is called z.jsonl" in found.lines()

    def test_reasons_columns_and_mixture(self, tmp_path: Path) -> None:
        old = write(tmp_path / "x.jsonl", row(1), row(2))
        new = write(tmp_path / "y.jsonl", {**row(1), "source": "web"}, row(2), {"messages": []})
        lines = diff_data(old, f"2x {new}").lines()
        assert "left out, no answer turn was 0, is 1" in lines
        assert "columns was answer, question, is answer, messages, question, source" in lines
        assert "weight of source 1 was 1.0, is 2.0" in lines

    def test_template_and_tokenizer(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(9))
        first, second = (make_model(tmp_path / name, CHATML) for name in ("one", "two"))
        (second / "chat_template.jinja").write_text(CHATML + " ")
        third = make_model(tmp_path / "three", CHATML)
        words = json.loads((third / "tokenizer.json").read_text())
        (third / "tokenizer.json").write_text(json.dumps(words, indent=3))
        one, two, three = (fingerprint_data(path, DataPart(), model_dir=model) for model in (first, second, third))
        assert {change.what for change in compare(one, two).changes} >= {"chat template"}
        assert [change.what for change in compare(one, three).changes] == ["tokenizer"]
        assert compare(one, one).same
        assert not compare(one, two).same

    def test_hostile_text_is_harmless(self, tmp_path: Path) -> None:
        evil = "\x1b]0;owned\x07\u202e"
        old = numbered(tmp_path / "x.jsonl", range(3))
        new = write(tmp_path / f"{evil}.jsonl", row(1), row(evil), {**row(2), evil: 1}, {evil: 1})
        found = diff_data(old, new)
        text = "\n".join([*found.lines(), found.sentence()])
        assert not any(character in text for character in "\x1b\x07\u202e")
        assert "owned" in text

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=25), st.lists(st.integers(0, 30), min_size=1, max_size=25))
    @settings(max_examples=25, deadline=None)
    def test_files_and_fingerprints_agree(self, tmp_path_factory: Any, ours: list[int], theirs: list[int]) -> None:
        place = tmp_path_factory.mktemp("d")
        old, new = numbered(place / "x.jsonl", ours), numbered(place / "y.jsonl", theirs)
        exact = diff_data(old, new)
        told = diff_data(fingerprint_data(old), fingerprint_data(new))
        assert counts(exact) == counts(told)
        added, removed, common = counts(exact)
        assert (common + removed, common + added) == (len(ours), len(theirs))
        assert exact.same == told.same == (ours == theirs)


class TestStored:
    def test_read_back(self, tmp_path: Path) -> None:
        found = fingerprint_data(numbered(tmp_path / "x.jsonl", range(3)))
        (tmp_path / "fp.json").write_text(json.dumps(found))
        assert read_fingerprint(tmp_path / "fp.json") == found

    @pytest.mark.parametrize("text", ["[]", "{", '{"sources": 1}', '{"sources": []}', "[" * 100_000, '"\\ud800"', "\0"])
    def test_something_else_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "fp.json").write_text(text)
        with pytest.raises(DataError) as error:
            read_fingerprint(tmp_path / "fp.json")
        assert error.value.code == "DATA_FINGERPRINT_INVALID"

    @pytest.mark.parametrize(
        "damage",
        [
            {}, {"sources": 3}, {"sources": [{}]}, {"sources": [{"sources": "x", "columns": 1, "dropped": []}]},
            {"settings": []}, {"settings": {"filter": {"a": 1}, "near_threshold": "x"}}, {"seed": "x"}, {"train": 1},
            {"tokenizer": 5, "template": ["x"]},
            {"sources": [{"sources": [{"files": [{"name": None}, 3]}], "usable": "x", "rows_sha256": 1, "sketch": 5}]},
        ],
    )  # fmt: skip
    def test_a_damaged_one_is_compared_as_far_as_it_goes(self, tmp_path: Path, damage: dict[str, Any]) -> None:
        path = numbered(tmp_path / "x.jsonl", range(3))
        stored = {**fingerprint_data(path), **damage}
        for found in (compare(stored, fingerprint_data(path)), diff_data(stored, path), diff_data(path, stored)):
            found.lines()
            found.sentence()
            json.dumps(found.to_dict())

    def test_manifests_of_before_list_files_alone(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "x.jsonl", range(3))
        old = {"sources": [{"name": "x.jsonl", "bytes": 7, "sha256": "0" * 64}], "seed": 42}
        found = compare(old, fingerprint_data(path))
        assert [file.kind for file in found.files] == ["changed"]
        assert found.rows is None
