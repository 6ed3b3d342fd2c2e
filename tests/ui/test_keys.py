"""One registry of actions: what a person's keymap may say, what is told of it, and that the manual lists what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.keys import _character_to_key

from backprop_tui.app.actions import SCOPES, registry
from backprop_tui.app.keycheck import check_keymap, shared_keys
from backprop_tui.app.keynames import character_name, key_words, read_key
from backprop_tui.cli.keys import page
from backprop_tui.config.settings import settings_file
from tests.support.terminal import backprop

ROOT = Path(__file__).resolve().parents[2]


def test_no_key_that_ships_means_two_things_in_one_place() -> None:
    assert [(key, one.id, other.id) for key, one, other in shared_keys()] == []


def test_every_action_has_a_place_a_title_and_keys_that_exist() -> None:
    for action in registry().values():
        assert action.scope in SCOPES
        assert action.title
        assert action.help
        for key in action.own_keys:
            assert read_key(key) == (key, ""), action.id


def test_characters_are_named_as_textual_names_them() -> None:
    for code in range(32, 127):
        assert character_name(chr(code)) == _character_to_key(chr(code))
        if chr(code) != " ":
            assert key_words(character_name(chr(code))) == chr(code)


@pytest.mark.parametrize(
    ("words", "key"),
    [("X", "X"), ("?", "question_mark"), ("F5", "f5"), ("Ctrl+X", "ctrl+x"), ("shift+ctrl+Up", "ctrl+shift+up"),
     ("+", "plus"), ("ctrl++", "ctrl+plus"), ("PgDn", "pagedown"), (" ", "space"), ("comma", "comma"), ("é", "é")],
)  # fmt: skip
def test_keys_are_read_as_people_write_them(words: str, key: str) -> None:
    assert read_key(words) == (key, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("crtl+x", "ctrl"),
        ("esacpe", "escape"),
        ("ctrl+m", "Enter"),
        ("ctrl+i", "Tab"),
        ("", "no key"),
        ("\x1b", "no key"),
    ],
)
def test_keys_that_cannot_be_are_told(words: str, said: str) -> None:
    key, wrong = read_key(words)
    assert key == ""
    assert said in wrong


@given(st.dictionaries(st.sampled_from([*registry(), "nonsense"]), st.text(max_size=12), max_size=6))
def test_whatever_is_written_every_place_keeps_one_meaning_for_a_key(wanted: dict[str, str]) -> None:
    keymap = check_keymap(wanted)
    seen: dict[tuple[str, str], str] = {}
    for action in registry().values():
        assert keymap.of(action)
        for key in keymap.of(action):
            other = seen.setdefault((action.scope, key), action.id)
            assert other == action.id or registry()[other].call == action.call
    told = {problem.action for problem in keymap.problems if problem.refused}
    for name in wanted:
        assert name in told or name in keymap.keys or keymap.of(registry()[name]) == registry()[name].own_keys
    assert all(keymap.keys.keys().isdisjoint({problem.action}) for problem in keymap.problems if problem.refused)


def test_problems_name_both_actions_and_the_nearest_name() -> None:
    said = [problem.text for problem in check_keymap({"run.stop": "m", "run.puase": "z", "run.save": "hoem"}).problems]
    assert "run.metric and run.stop share m (Run); run.stop keeps x." in said
    assert any("did you mean run.pause?" in text for text in said)
    assert any("did you mean home?" in text for text in said)


def test_keys_can_change_places() -> None:
    keymap = check_keymap({"run.stop": "p", "run.pause": "x"})
    assert keymap.keys == {"run.stop": "p", "run.pause": "x"}
    assert not keymap.problems


def test_a_key_that_hides_another_is_told_but_taken() -> None:
    keymap = check_keymap({"run.stop": "1"})
    assert keymap.keys == {"run.stop": "1"}
    assert "takes 1 from shell.data while Run" in keymap.problems[0].text


def test_config_keys_lists_everything_and_what_is_wrong() -> None:
    settings_file().write_text('[keys]\n"run.stop" = "m"\n"run.pause" = "Z"\n')
    done = backprop("config", "keys", "--json")
    assert done.returncode == 2
    words = json.loads(done.stdout)
    actions = {entry["id"]: entry for entry in words["actions"]}
    assert actions.keys() == registry().keys()
    assert actions["run.pause"]["keys"] == ["Z"]
    assert actions["run.pause"]["changed"]
    assert [problem["kind"] for problem in words["problems"] if problem["refused"]] == ["clash"]
    plain = backprop("config", "keys")
    assert "clash: run.metric and run.stop share m" in plain.stderr
    assert "run.pause" in plain.stdout


def test_the_manual_lists_the_keys_there_are() -> None:
    written = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
    assert written == page(), "run: backprop config keys --markdown > docs/keys.md"
