from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.launch import preflight
from backprop_tui.launch.estimate import estimate
from backprop_tui.launch.preflight import check, check_and_record
from backprop_tui.launch.start import start_run
from backprop_tui.protocol.errors import EXIT_DATA, EXIT_UNAVAILABLE, EXIT_USAGE, BackpropError
from backprop_tui.protocol.fields import validate_spec, with_overrides
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import create_run, list_runs

GOOD = {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Aye."}]}


def refused(path: str | Path = "demo", **settings: object) -> BackpropError:
    """The refusal, which must leave nothing behind."""
    spec = with_overrides(RunSpec(), {"path": str(path), **settings})
    with pytest.raises(BackpropError) as refusal:
        start_run(spec)
    assert list_runs() == []
    assert refusal.value.cause.endswith((".", ":")) or refusal.value.cause
    assert "\n" not in str(refusal.value)
    assert refusal.value.next_step
    return refusal.value


def write(place: Path, *rows: object) -> Path:
    place.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return place


def test_bad_data_is_one_line_each(tmp_path: Path) -> None:
    cases = {
        "missing": tmp_path / "absent.jsonl",
        "empty": write(tmp_path / "empty.jsonl"),
        "extension": write(tmp_path / "notes.docx", GOOD),
        "broken": write(tmp_path / "broken.jsonl", GOOD, GOOD, '{"messages": [', GOOD),
        "no answers": write(tmp_path / "mute.jsonl", {"messages": [{"role": "user", "content": "Hi?"}]}),
    }
    errors = {name: refused(path) for name, path in cases.items()}
    assert {error.exit_code for error in errors.values()} == {EXIT_DATA}
    assert len({error.code for error in errors.values()}) == 5
    assert "3" in str(errors["broken"])


def test_bad_models_are_one_line_each(tmp_path: Path) -> None:
    demo = paths.demo_model_dir()
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((demo / "config.json").read_bytes())
    (bare / "model.safetensors").write_bytes((demo / "model.safetensors").read_bytes())
    assert refused(base=str(bare)).code == "MODEL_NO_TOKENIZER"
    (bare / "tokenizer.json").write_bytes((demo / "tokenizer.json").read_bytes())
    assert refused(base=str(bare)).code == "MODEL_NO_CHAT_TEMPLATE"
    assert refused(base=str(tmp_path / "nowhere")).code == "MODEL_MISSING"
    assert refused(base="not a name!").exit_code == EXIT_USAGE


def test_no_disk_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_FLOOR", 1 << 60)
    error = refused()
    assert (error.code, error.exit_code) == ("DISK_SPACE", EXIT_UNAVAILABLE)


def test_runs_directory_not_writable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("BACKPROP_DATA_DIR", str(home / "file" / "below"))
    error = refused()
    assert (error.code, error.exit_code) == ("RUNS_DIR_NOT_WRITABLE", EXIT_UNAVAILABLE)


def test_training_extra_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.hardware import extras

    monkeypatch.setattr(extras, "_installed", lambda name: name != "trl")
    error = refused()
    assert (error.code, error.exit_code) == ("EXTRA_MISSING", EXIT_UNAVAILABLE)
    assert "pip install" in error.next_step


def test_bitsandbytes_is_asked_for_only_where_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.hardware import extras

    monkeypatch.setattr(extras, "installed_version", lambda name: None)
    assert "bitsandbytes" in refused(method="qlora").cause
    check(RunSpec())


def test_what_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "chat.jsonl", GOOD, GOOD)
    write(tmp_path / "held.jsonl", GOOD)
    monkeypatch.chdir(tmp_path)
    os.symlink(paths.demo_model_dir(), tmp_path / "model")
    spec = with_overrides(RunSpec(), {"path": "chat.jsonl", "eval_path": "held.jsonl", "base": "./model"})
    resolved = check(spec)
    assert resolved.name == "model-lora-r32"
    assert resolved.data.path == str(data)
    assert resolved.data.eval_path == str(tmp_path / "held.jsonl")
    assert resolved.model.base == str(tmp_path / "model")
    assert RunSpec.model_validate(resolved.model_dump()) == resolved
    assert check(RunSpec()).data.path == "demo"
    assert list_runs() == []


def test_what_the_data_was_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "chat.jsonl", GOOD, GOOD, {**GOOD, "more": 1})
    monkeypatch.chdir(tmp_path)
    resolved, record = check_and_record(with_overrides(RunSpec(), {"path": "chat.jsonl"}))
    assert resolved == check(with_overrides(RunSpec(), {"path": "chat.jsonl"}))
    (file,) = record["train"]["sources"][0]["files"]
    assert (file["path"], file["bytes"]) == (str(data), data.stat().st_size)
    assert file["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert record["train"]["rows"] == 3
    assert record["eval"] is None
    run = create_run(resolved.model_dump(mode="json"), launched=record)
    assert run.read_launched() == record
    assert validate_spec(run.read_spec()) == resolved, "the note is no part of the spec"


def test_data_that_changes_while_it_is_checked_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "chat.jsonl", *[GOOD] * 50)

    def grow(done: int, total: int | None) -> None:
        write(data, *[GOOD] * 60)

    with pytest.raises(BackpropError) as refusal:
        check_and_record(with_overrides(RunSpec(), {"path": str(data)}), on_progress=grow)
    assert refusal.value.code in ("DATA_CHANGED", "DATA_LINE_NOT_JSON")


def test_a_refusal_does_not_wait_for_hashing(tmp_path: Path) -> None:
    """A sparse file of 60 GiB takes a minute to hash and is refused at its first line."""
    data = tmp_path / "giant.jsonl"
    with data.open("wb") as file:
        file.write(b"{broken\n")
        file.truncate(60 << 30)
    began = time.monotonic()
    with pytest.raises(BackpropError):
        check_and_record(with_overrides(RunSpec(), {"path": str(data)}))
    assert time.monotonic() - began < 20


def test_an_engine_that_refuses_leaves_nothing(home: Path) -> None:
    (home / "runtime").chmod(0o755)
    assert refused().code == "RUNTIME_DIR_UNSAFE"


def test_checkpoint_size_follows_the_tensors() -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (128_256, 4096),
        "lm_head.weight": (128_256, 4096),
    }
    for layer in range(32):
        block = f"model.layers.{layer}"
        shapes |= {f"{block}.self_attn.{name}_proj.weight": (4096, 4096) for name in "qo"}
        shapes |= {f"{block}.self_attn.{name}_proj.weight": (1024, 4096) for name in "kv"}
        shapes |= {f"{block}.mlp.{name}_proj.weight": (14_336, 4096) for name in ("gate", "up")}
        shapes |= {f"{block}.mlp.down_proj.weight": (4096, 14_336), f"{block}.input_layernorm.weight": (4096,)}
    lora = estimate(RunSpec(), None, shapes)
    full = estimate(with_overrides(RunSpec(), {"method": "full"}), None, shapes)
    assert lora.trained_parameters == 83_886_080, "Llama-3.1-8B has 2.62 M adapter weights a rank"
    assert lora.checkpoint_bytes == 83_886_080 * 12
    assert full.parameters is not None
    assert full.checkpoint_bytes == full.parameters * 12


def test_preflight_imports_no_torch() -> None:
    script = (
        "import sys\nfrom backprop_tui.launch.preflight import check\nfrom backprop_tui.protocol.spec import RunSpec\n"
        "check(RunSpec())\nprint([m for m in ('torch', 'transformers', 'textual', 'rich') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"
