"""Datasets of the hub: the real library against a small hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backprop_tui.data.finding import hub
from backprop_tui.data.finding.hub_files import choose, missing_shards, readable
from backprop_tui.data.finding.places import read_set, resolve
from backprop_tui.protocol.errors import BackpropError, DataError, UnavailableError
from tests.support.hub_server import Hub, sha_of

ROW = b'{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'
PLAIN = {"README.md": b"# A dataset", "data/train-0.jsonl": ROW * 3, "data/test-0.jsonl": ROW, "LICENSE.txt": b"free"}
CARD = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/tr*.jsonl
  - split: test
    path: data/test-0.jsonl
---
"""


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    with Hub({"org/plain": {"main": PLAIN}}).serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.chdir(tmp_path)
        yield server
        close_session()


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def code_of(words: str) -> str:
    with pytest.raises(BackpropError) as error:
        resolve(words)
    assert error.value.next_step
    assert "\n" not in str(error.value)
    return error.value.code


@pytest.mark.parametrize("words", ["org/plain", "hf://datasets/org/plain", "hf://datasets/org/plain@main"])
def test_the_training_files_of_a_commit(words: str, local: Hub) -> None:
    told: list[tuple[str, int, int]] = []
    data = resolve(words, on_file=lambda *step: told.append(step))
    (source,) = data.sources
    assert (source.kind, source.revision) == ("hub", sha_of(PLAIN))
    assert [path.name for path in source.files] == ["train-0.jsonl"]
    assert [str(path) for path, _ in source.skipped] == ["data/test-0.jsonl"]
    assert len(list(read_set(data))) == 3
    assert told == [("data/train-0.jsonl", 0, 1)]


def test_a_path_or_pattern_in_the_repository(local: Hub) -> None:
    for path in ("data/test-0.jsonl", "data/te*", "**/test-*.jsonl"):
        data = resolve(f"2x hf://datasets/org/plain/{path} + org/plain")
        assert [source.files[0].name for source in data.sources] == ["test-0.jsonl", "train-0.jsonl"]
    assert [path.name for path in resolve(f"{local_page(local)}/tree/main/data").files] == [
        "test-0.jsonl",
        "train-0.jsonl",
    ]
    assert code_of("hf://datasets/org/plain/data/nothing.jsonl") == "HUB_FILE_MISSING"


def local_page(_: Hub) -> str:
    return "https://huggingface.co/datasets/org/plain"


def test_revisions(local: Hub) -> None:
    old = {"data/train.jsonl": ROW}
    local.repos["org/plain"]["v1"] = old
    assert resolve("org/plain@v1").sources[0].revision == sha_of(old)
    assert resolve(f"org/plain@{sha_of(old)}").files == resolve("org/plain@v1").files
    assert code_of("org/plain@v2") == "HUB_REVISION_MISSING"


def test_the_card_decides(local: Hub) -> None:
    files = {
        "README.md": CARD,
        "data/tr0.jsonl": ROW,
        "data/tr1.jsonl": ROW,
        "data/test-0.jsonl": ROW,
        "train.csv": b"a\n1",
    }
    local.repos["org/card"] = {"main": files}
    assert [path.name for path in resolve("org/card").files] == ["tr0.jsonl", "tr1.jsonl"]


def test_several_configurations_are_offered_ready_to_use(local: Hub) -> None:
    card = b"---\nconfigs:\n- config_name: en\n  data_files: en/*.jsonl\n- config_name: de\n  data_files: de/*.jsonl\n---\n"
    local.repos["org/many"] = {"main": {"README.md": card, "en/x.jsonl": ROW, "de/x.jsonl": ROW * 2}}
    with pytest.raises(DataError) as error:
        resolve("org/many")
    assert error.value.code == "HUB_SEVERAL_CONFIGS"
    words = error.value.detail["words"]
    assert words[1] == "hf://datasets/org/many/de/*.jsonl"
    assert words[1] in error.value.next_step
    assert len(list(read_set(resolve(words[1])))) == 2


def test_a_repository_without_readable_files_has_a_converted_copy(local: Hub) -> None:
    local.repos["org/script"] = {"main": {"script.py": b"x", "README.md": b"# x"}}
    assert code_of("org/script") == "HUB_NO_ROWS"
    local.repos["org/script"]["refs/convert/parquet"] = {
        "default/train/0000.parquet": b"PAR1",
        "default/test/0000.parquet": b"",
    }
    data = resolve("org/script")
    assert [path.parts[-2:] for path in data.files] == [("train", "0000.parquet")]
    local.repos["org/script"]["refs/convert/parquet"] = {
        "en/train/0000.parquet": b"PAR1",
        "de/train/0000.parquet": b"PAR1",
    }
    with pytest.raises(DataError) as error:
        resolve("org/script")
    assert error.value.detail["words"][0] == "hf://datasets/org/script@refs/convert/parquet/de"
    assert len(resolve(error.value.detail["words"][0]).files) == 1


@pytest.mark.parametrize(
    ("status", "header", "code"),
    [
        (401, "RepoNotFound", "HUB_NOT_FOUND"),
        (404, "RepoNotFound", "HUB_NOT_FOUND"),
        (403, "GatedRepo", "HUB_GATED"),
        (403, "", "HUB_DENIED"),
        (429, "", "HUB_BUSY"),
        (500, "", "HUB_UNREACHABLE"),
    ],
)
def test_refusals_are_named(status: int, header: str, code: str, local: Hub) -> None:
    local.refuse["org/plain"] = (status, header)
    assert code_of("org/plain") == code


def test_what_was_fetched_is_there_without_a_network(local: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve("org/plain")
    offline(monkeypatch)
    local.asked.clear()
    assert resolve("org/plain") == first
    assert not local.asked
    assert code_of("org/other") == "HUB_UNREACHABLE"
    assert code_of("hf://datasets/org/plain/data/test-0.jsonl") == "HUB_UNREACHABLE"


def test_a_hub_that_is_down_is_as_good_as_no_network(local: Hub) -> None:
    first = resolve("org/plain")
    local.refuse["org/plain"] = (503, "")
    assert resolve("org/plain") == first


def test_a_broken_off_download_is_not_the_whole_dataset(local: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_hub_download

    files = {"data/train-00000-of-00002.jsonl": ROW, "data/train-00001-of-00002.jsonl": ROW}
    local.repos["org/two"] = {"main": files}
    local.cut = "data/train-00001-of-00002.jsonl"
    hf_hub_download("org/two", "data/train-00000-of-00002.jsonl", repo_type="dataset")
    offline(monkeypatch)
    with pytest.raises(UnavailableError, match="not in the cache"):
        resolve("org/two")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    local.cut = ""
    assert len(resolve("org/two").files) == 2


def test_the_cache_of_other_programs_is_used(local: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download("org/plain", repo_type="dataset")
    offline(monkeypatch)
    data = resolve("org/plain")
    assert [path.name for path in data.files] == ["train-0.jsonl"]
    assert data.sources[0].revision == sha_of(PLAIN)


def test_no_room_is_said_before_the_download(local: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(hub.shutil.disk_usage("/"))
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: usage(100, 99, 1))
    local.repos["org/bare"] = {"main": {"train.jsonl": ROW}}
    assert code_of("org/bare") == "HUB_NO_SPACE"
    assert not [line for line in local.asked if "/resolve/" in line]


def test_names_that_lead_out_of_the_folder_are_not_files(local: Hub) -> None:
    hostile = [
        "../../train.jsonl",
        "/etc/train.jsonl",
        "a/../../train.jsonl",
        "a\\..\\train.jsonl",
        ".git/train.jsonl",
        "a//b.jsonl",
    ]
    assert readable([*hostile, "train.jsonl", "README.md", "x.bin"]) == ["train.jsonl"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.csv", "test.csv"], ["train.csv"]),
        (["x/training/0.csv", "x/valid/0.csv"], ["x/training/0.csv"]),
        (["trainer.csv", "dev.csv"], ["trainer.csv"]),
        (["a.jsonl", "eval.jsonl"], ["a.jsonl"]),
        (["test.jsonl"], ["test.jsonl"]),
        (["train-1.parquet", "train-2.parquet", "train.jsonl"], ["train-1.parquet", "train-2.parquet"]),
    ],
)
def test_custom(names: list[str], expected: list[str]) -> None:
    assert list(choose(names, {}, "", "hf://datasets/o/n").names) == expected


@pytest.mark.parametrize(
    "card",
    [
        {"configs": [{"data_files": "train.csv"}]},
        {"configs": [{"data_files": ["train.csv"]}]},
        {"configs": [{"data_files": [{"split": "train", "path": ["./train.csv"]}, {"split": "x", "path": "b.csv"}]}]},
        {"configs": [{"config_name": "a", "data_files": "b.csv"}, {"data_files": "train.csv", "default": True}]},
        {"configs": [{"data_files": [{"split": "train_sft", "path": "train.csv"}, {"split": "test_sft", "path": "b.csv"}]}]},
        {"configs": "nonsense"},
        {"configs": [None, {"data_files": [3]}, {"config_name": "features only"}]},
    ],
)  # fmt: skip
def test_cards_as_people_write_them(card: dict[str, object]) -> None:
    assert choose(["b.csv", "train.csv"], card, "", "hf://datasets/o/n").names == ("train.csv",)


def test_splits_that_leave_a_choice() -> None:
    card = {
        "configs": [{"data_files": [{"split": name, "path": f"{name}.csv"} for name in ("train_sft", "train_gen")]}]
    }
    with pytest.raises(DataError) as error:
        choose(["train_sft.csv", "train_gen.csv"], card, "", "hf://datasets/o/n")
    assert error.value.code == "HUB_SEVERAL_SPLITS"
    assert error.value.detail["words"] == ["hf://datasets/o/n/train_sft.csv", "hf://datasets/o/n/train_gen.csv"]


def test_missing_parts() -> None:
    assert missing_shards(["a-00000-of-00003.parquet", "a-00002-of-00003.parquet", "b.csv"]) == [
        "a-00001-of-00003.parquet"
    ]


def test_the_environment_is_heeded_and_nothing_is_printed(local: Hub, tmp_path: Path) -> None:
    script = "from backprop_tui.data.finding.places import resolve; print(len(resolve('org/plain').files))"
    env = {**os.environ, "HF_ENDPOINT": local.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
