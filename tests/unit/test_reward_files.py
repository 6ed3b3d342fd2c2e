"""Reward files before anything of them runs: what is refused, what is found in them, and what a confirmation is worth."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.config.trusted import is_trusted, trust
from backprop_tui.launch import rewards
from backprop_tui.launch.preflight import check
from backprop_tui.launch.start import start_run
from backprop_tui.protocol.effects import refuse_without_effect
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.parts.grpo import BUILT_IN_REWARDS
from backprop_tui.protocol.reward_names import reward_weights
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import list_runs
from tests.support.disk import no_room
from tests.support.refusals import code_of

GOOD = """import math as m
def helper(x): return x
def reward(completions, **kw): return [1.0]
def reward_b(completions, **kw): return [0.0]
"""


def grpo(**settings: object) -> RunSpec:
    return with_overrides(RunSpec(), {"objective": "grpo", "base": "demo", "path": "demo", **settings})


def written(place: Path, content: str | bytes = GOOD) -> Path:
    file = place / "rewards.py"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("def reward(:\n", "REWARD_FILE_SYNTAX"),
        ("x = 1\0\n", "REWARD_FILE_SYNTAX"),
        ("(" * 20_000, "REWARD_FILE_SYNTAX"),
        (b"\xff\xfe\x00", "REWARD_FILE_TEXT"),
        ("#" * (rewards.MOST_BYTES + 1), "REWARD_FILE_LARGE"),
    ],
)
def test_what_is_no_readable_python_is_refused(tmp_path: Path, content: str | bytes, code: str) -> None:
    file = written(tmp_path, content)
    assert code_of(lambda: rewards.read_reward_file(str(file))) == code


def test_links_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "link.py").symlink_to(file)
    os.mkfifo(tmp_path / "pipe.py")
    assert code_of(lambda: rewards.read_reward_file(str(tmp_path / "link.py"))) == "REWARD_FILE_LINK"
    assert code_of(lambda: rewards.read_reward_file(str(tmp_path / "pipe.py"))) == "REWARD_FILE_KIND"
    assert code_of(lambda: rewards.read_reward_file(str(tmp_path))) == "REWARD_FILE_KIND"
    assert code_of(lambda: rewards.read_reward_file(str(tmp_path / "none.py"))) == "REWARD_FILE_MISSING"


def test_nothing_of_a_file_runs_while_it_is_looked_at(tmp_path: Path, home: Path) -> None:
    witness = tmp_path / "ran"
    file = written(tmp_path, f"open({str(witness)!r}, 'w')\n{GOOD}")
    spec = grpo(reward_file=str(file))
    assert list(rewards.find_rewards(spec).weights) == ["reward", "reward_b"]
    check(spec)
    assert code_of(lambda: rewards.confirmed(spec)) == "REWARD_NOT_CONFIRMED"
    assert not witness.exists()


def test_functions_are_found_by_name_and_a_name_is_checked(tmp_path: Path, home: Path) -> None:
    file = str(written(tmp_path))
    found = rewards.find_rewards(grpo(reward_file=file, reward_functions="reward_b*0.5, brevity*-2"))
    assert found.weights == {"reward_b": 0.5, "brevity": -2.0}
    assert rewards.find_rewards(grpo(reward_file=file, reward_functions="helper")).weights == {"helper": 1.0}
    with pytest.raises(UsageError, match="reward_c") as caught:
        rewards.find_rewards(grpo(reward_file=file, reward_functions="reward_c"))
    assert (caught.value.code, "reward_b" in caught.value.next_step) == ("REWARD_UNKNOWN", True)
    assert code_of(lambda: check(grpo(reward_functions="exact"))) == "REWARD_UNKNOWN"
    unused = grpo(reward_file=file, reward_functions="brevity")
    assert code_of(lambda: rewards.find_rewards(unused)) == "REWARD_FILE_UNUSED"
    other = tmp_path / "other"
    other.mkdir()
    assert (
        code_of(lambda: rewards.find_rewards(grpo(reward_file=str(written(other, "def score(): pass")))))
        == "REWARD_NONE"
    )
    assert rewards.find_rewards(grpo()).weights == {"similarity": 1.0}


@pytest.mark.parametrize("words", ["a*", "a*x", "a*nan", "a*0", "a,a", "a b", "a*inf", "1a"])
def test_names_with_weights_that_make_no_sense(words: str) -> None:
    assert code_of(lambda: reward_weights(words)) == "REWARD_WEIGHT"


def test_a_confirmation_is_for_this_content_and_no_other(tmp_path: Path, home: Path) -> None:
    file = written(tmp_path)
    spec = grpo(reward_file=str(file))
    read = rewards.read_reward_file(str(file))
    assert rewards.unconfirmed(spec) == read
    rewards.remember(read)
    assert rewards.unconfirmed(spec) is None
    assert rewards.confirmed(spec) is not None
    assert stat.S_IMODE((paths.data_dir() / "trusted-rewards.json").stat().st_mode) == 0o600
    file.write_text(GOOD + "# more\n")
    assert code_of(lambda: rewards.confirmed(spec)) == "REWARD_NOT_CONFIRMED"
    now = rewards.read_reward_file(str(file))
    assert rewards.confirmed(spec, {now.sha256}) is not None
    assert not is_trusted(now.sha256), "for one run is not for ever"
    (paths.data_dir() / "trusted-rewards.json").write_text('{"no": "list"}')
    assert not is_trusted(read.sha256)
    trust(read.sha256)
    assert is_trusted(read.sha256)


def test_no_way_to_start_a_run_goes_round_the_confirmation(tmp_path: Path, home: Path) -> None:
    spec = grpo(reward_file=str(written(tmp_path)))
    assert code_of(lambda: start_run(spec)) == "REWARD_NOT_CONFIRMED"
    assert list_runs() == []


def test_without_room_for_the_copy_no_run_is_left(tmp_path: Path, home: Path) -> None:
    file = written(tmp_path, GOOD + "#" * 200_000)
    spec = grpo(reward_file=str(file))
    trusted = rewards.read_reward_file(str(file)).sha256
    with no_room(150_000):
        assert code_of(lambda: start_run(spec, trusted=(trusted,))) == "REWARD_NOT_COPIED"
    assert list_runs() == []


def test_a_hash_given_on_the_command_line_must_be_of_this_content(tmp_path: Path) -> None:
    read = rewards.read_reward_file(str(written(tmp_path)))
    rewards.check_trusted(read, read.sha256)
    rewards.check_trusted(read, read.sha256[:12].upper())
    assert code_of(lambda: rewards.check_trusted(read, read.sha256[:11])) == "REWARD_SHA256"
    assert code_of(lambda: rewards.check_trusted(read, "z" * 12)) == "REWARD_SHA256"
    other = ("0" if read.sha256[0] != "0" else "1") + read.sha256[1:12]
    assert code_of(lambda: rewards.check_trusted(read, other)) == "REWARD_CHANGED"


def test_what_is_refused_with_grpo_and_what_counts_only_there(home: Path) -> None:
    for settings, words in (
        ({"devices": 2}, "one process"),
        ({"kl_weight": 0.1, "adapter_start": "pissa"}, "adapter_start"),
    ):
        with pytest.raises(UsageError, match=words):
            grpo(**settings)
    for setting in ("reward_functions", "generations", "clip_epsilon"):
        with pytest.raises(UsageError, match="would do nothing"):
            refuse_without_effect(RunSpec(), [setting])
    with pytest.raises(UsageError, match="answer_reuse"):
        refuse_without_effect(grpo(), ["clip_epsilon"])
    refuse_without_effect(grpo(answer_reuse=2), ["clip_epsilon", "generations"])


def test_pairs_are_no_prompts(tmp_path: Path, home: Path) -> None:
    with pytest.raises(DataError) as caught:
        check(grpo(path="demo-pairs"))
    assert caught.value.code == "DATA_OTHER_PURPOSE"


def test_the_settings_name_every_reward_there_is() -> None:
    from backprop_tui.engine.rewards.builtin import BUILT_IN

    assert BUILT_IN.keys() == BUILT_IN_REWARDS.keys()
