"""Folders, single rows and model directories, looked at before anything is run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.data.finding import browse
from backprop_tui.data.finding.browse import list_folder
from backprop_tui.data.finding.places import resolve
from backprop_tui.data.looking.part import How
from backprop_tui.data.looking.preview import Preview
from backprop_tui.data.models import check_model_dir, model_facts, resolve_model
from backprop_tui.data.rendering.chat import ChatTokenizer
from backprop_tui.protocol.errors import BackpropError, DataError
from tests.support.models import make_model


def test_folder_shows_folders_first_and_what_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    for name in ("b.jsonl", "A.CSV", "notes.pdf", ".hidden.jsonl", "\x1b[31mred.txt"):
        (tmp_path / name).write_text("xyz")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "lost.jsonl").symlink_to("/does/not/exist")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "b.jsonl")
    (tmp_path / "up").symlink_to(tmp_path.parent)
    folder = list_folder(tmp_path)
    assert [entry.name for entry in folder.entries] == [
        "up",
        "zoo",
        "\x1b[31mred.txt",
        "A.CSV",
        "b.jsonl",
        "link.jsonl",
    ]
    assert folder.parent == tmp_path.parent
    kinds = {
        entry.name: (entry.kind, entry.size, entry.link) for entry in list_folder(tmp_path, everything=True).entries
    }
    assert kinds["pipe.jsonl"] == ("special", None, False)
    assert kinds["lost.jsonl"] == ("broken", None, True)
    assert kinds["loop.jsonl"] == ("broken", None, True)
    assert kinds["link.jsonl"] == ("data", 3, True)
    assert kinds["notes.pdf"] == ("other", 3, False)
    assert kinds["zoo"] == ("folder", None, False)
    assert list_folder(Path("/")).parent is None


def test_huge_folders_say_that_they_are_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "MOST_ENTRIES", 5)
    for number in range(8):
        (tmp_path / f"{number}.jsonl").touch()
    folder = list_folder(tmp_path)
    assert (len(folder.entries), folder.complete) == (5, False)


def test_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("no", "file"):
        with pytest.raises(DataError) as error:
            list_folder(tmp_path / name)
        assert error.value.code == "FOLDER_MISSING"


@pytest.mark.parametrize("extension", [".jsonl", ".json", ".csv", ".txt"])
def test_rows_by_number_in_any_order(extension: str, tmp_path: Path) -> None:
    rows = [{"question": f"q{number}", "answer": f"a{number}"} for number in range(1500)]
    path = tmp_path / f"x{extension}"
    path.write_text(
        {
            ".jsonl": "\n\n".join(map(json.dumps, rows)),
            ".json": json.dumps(rows),
            ".csv": "question,answer\n" + "\n".join(f"q{n},a{n}" for n in range(1500)),
            ".txt": "\n\n".join(f"q{n}\na{n}" for n in range(1500)),
        }[extension]
    )
    preview = Preview(resolve(str(path)))
    for number in (0, 1, 1400, 3, 700, 701, 64, 63, 1499, 0):
        row = preview.row(number)
        assert row is not None
        assert row.index == number
        assert row.value == (f"q{number}\na{number}" if extension == ".txt" else rows[number])
    assert preview.row(1500) is None
    assert preview.row(-1) is None
    assert (preview.known, preview.complete) == (1500, True)


def test_first_row_reads_only_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with path.open("w") as file:
        file.write('{"text":"first"}\n')
        file.truncate(20 << 30)
    preview = Preview(resolve(str(path)))
    row = preview.row(0)
    assert row is not None
    assert row.value == {"text": "first"}
    assert preview.known == 1


def test_row_three_ways(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "\u00e9[/INST]", "answer": "a"}\nbroken\n{"question": "q", "answer": ""}\n{"z": 1}\n')
    preview, tokenizer = Preview(resolve(str(path))), ChatTokenizer.load(demo_model_dir())
    good, broken, empty, unknown = (preview.view(n, tokenizer=tokenizer, how=How(max_length=2048)) for n in range(4))
    assert good is not None
    assert broken is not None
    assert empty is not None
    assert unknown is not None
    assert json.loads(good.raw) == {"question": "\u00e9[/INST]", "answer": "a"}
    assert (good.format, good.problem, good.cut) == ("question-answer", None, 0)
    assert good.pieces is not None
    assert [piece.text for piece in good.pieces if piece.trained] == ["a<|im_end|>"]
    assert (broken.raw, broken.problem is not None and broken.problem.line) == ("broken", 2)
    assert (empty.format, empty.problem is not None and empty.problem.code) == ("question-answer", "DATA_ANSWER_EMPTY")
    assert (unknown.format, unknown.normalised) == (None, None)
    plain = preview.view(0)
    assert plain is not None
    assert (plain.tokens, plain.pieces) == (None, None)
    cut = preview.view(0, tokenizer=tokenizer, how=How(max_length=4))
    assert cut is not None
    assert cut.problem is not None
    assert cut.problem.code == "DATA_ANSWER_CUT"
    assert cut.pieces is not None
    assert [piece.kind for piece in cut.pieces] == ["masked", "cut"]


def test_changed_file_is_noticed_and_waiting_can_be_called_off(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text":"x"}\n' * 3000)
    preview = Preview(resolve(str(path)))
    assert preview.row(2999, cancelled=lambda: True) is None
    assert not preview.complete
    assert preview.row(2999) is not None
    path.write_text("new")
    with pytest.raises(DataError) as error:
        preview.row(1000)
    assert error.value.code == "DATA_CHANGED"


def test_model_facts_come_from_config_and_headers(tmp_path: Path) -> None:
    demo = resolve_model("demo")
    assert demo is not None
    facts = model_facts(demo)
    assert (facts.family, facts.bytes) == ("llama", (demo / "model.safetensors").stat().st_size)
    assert facts.parameters is not None
    assert facts.parameters > 100_000
    model = make_model(tmp_path / "m", config=True)
    assert resolve_model(str(model)) == model
    small = model_facts(model)
    assert (small.parameters, small.dtype, small.hidden, small.layers) == (6, "F32", 8, None)


def test_model_directories_are_refused_in_one_line(tmp_path: Path) -> None:
    def broken(name: str, code: str) -> None:
        model = tmp_path / name
        with pytest.raises(DataError) as error:
            check_model_dir(model)
        assert error.value.code == code, name
        assert error.value.next_step
        assert model_facts(model) is not None or code == "MODEL_CONFIG_BROKEN"

    for name in ("config", "tokenizer", "weights", "torn", "template", "outside", "part"):
        make_model(tmp_path / name, None if name == "template" else "x", config=True)
    (tmp_path / "config" / "config.json").unlink()
    (tmp_path / "tokenizer" / "tokenizer.json").unlink()
    (tmp_path / "weights" / "model.safetensors").rename(tmp_path / "weights" / "pytorch_model.bin")
    os.truncate(tmp_path / "torn" / "model.safetensors", 40)
    index = "model.safetensors.index.json"
    (tmp_path / "outside" / index).write_text(json.dumps({"weight_map": {"w": "../config/model.safetensors"}}))
    (tmp_path / "part" / index).write_text(json.dumps({"weight_map": {"w": "model-2.safetensors"}}))
    broken("config", "MODEL_NO_CONFIG")
    broken("tokenizer", "MODEL_NO_TOKENIZER")
    broken("weights", "MODEL_NO_SAFETENSORS")
    broken("torn", "MODEL_WEIGHTS_BROKEN")
    broken("template", "MODEL_NO_CHAT_TEMPLATE")
    broken("outside", "MODEL_WEIGHTS_BROKEN")
    broken("part", "MODEL_WEIGHTS_BROKEN")
    check_model_dir(tmp_path / "template", need_template=False)


@pytest.mark.parametrize("words", ["[]", "{", "[" * 100_000, '"x"'])
def test_broken_config_is_named(words: str, tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", config=True)
    (model / "config.json").write_text(words)
    with pytest.raises(DataError) as error:
        check_model_dir(model)
    assert error.value.code == "MODEL_CONFIG_BROKEN"
    (model / "tokenizer.json").write_text(words)
    with pytest.raises(DataError) as error:
        ChatTokenizer.load(model)
    assert error.value.code == "MODEL_TOKENIZER_BROKEN"


def test_hub_ids_are_looked_up_in_the_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert resolve_model("some/model") is None
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--some--model"
    make_model(folder / "snapshots" / commit, config=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    assert resolve_model("some/model") == folder / "snapshots" / commit
    assert resolve_model("some/model", commit) == folder / "snapshots" / commit
    assert resolve_model("some/model", "v2") is None
    assert resolve_model("some/model", "../../..") is None


@pytest.mark.parametrize(
    ("base", "code"),
    [
        ("/no/such/dir", "MODEL_MISSING"),
        ("./no", "MODEL_MISSING"),
        ("a/b/c", "MODEL_NAME_INVALID"),
        ("some model", "MODEL_NAME_INVALID"),
        ("../up", "MODEL_MISSING"),
        ("/etc/passwd", "MODEL_NOT_A_DIRECTORY"),
    ],
)
def test_names_that_lead_nowhere(base: str, code: str) -> None:
    with pytest.raises(BackpropError) as error:
        resolve_model(base)
    assert error.value.code == code


def test_looking_costs_no_heavy_import() -> None:
    import subprocess
    import sys

    script = (
        "import sys, backprop_tui.data.finding.browse, backprop_tui.data.looking.preview, backprop_tui.data.looking.inspection,"
        " backprop_tui.data.models, backprop_tui.data.rendering.chat\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'tokenizers', 'jinja2', 'textual', 'rich', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
