"""Editing one key of a person's file: the rest stays byte for byte, or the edit is refused."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.config.toml_edit import NotEditable, drop_key, literal, set_key

FILE = '''# mine
theme = "a"  # nice, "#1"
unknown = [1,
  2] # kept
text = """
profile = "in a text"
"""
# of the keys
[keys]
theme = "in a table"
"run.stop" = "X"
'''


def test_a_value_changes_and_its_comment_stays() -> None:
    assert set_key(FILE, "theme", "b") == FILE.replace('theme = "a"  #', 'theme = "b"  #')


def test_a_key_is_added_above_the_tables_and_above_their_comment() -> None:
    after = set_key(FILE, "profile", "low")
    assert 'profile = "low"\n\n# of the keys\n[keys]' in after
    assert tomllib.loads(after) == {**tomllib.loads(FILE), "profile": "low"}
    assert set_key("", "ascii", True) == "ascii = true\n"


def test_a_key_is_taken_out_and_nothing_else() -> None:
    assert drop_key(FILE, "theme") == FILE.replace('theme = "a"  # nice, "#1"\n', "")
    assert drop_key(FILE, "absent") == FILE


@pytest.mark.parametrize("text", ["theme = [", 'theme = """\na\n"""\n', "theme = [1,\n2]\n"])
def test_what_cannot_be_edited_safely_is_refused(text: str) -> None:
    with pytest.raises(NotEditable):
        set_key(text, "theme", "b")


values = st.one_of(
    st.booleans(), st.integers(-(2**62), 2**62), st.text(st.characters(blacklist_categories=("Cs",)), max_size=30)
)
names = st.sampled_from(["theme", "ascii", "other", "profile"])
noise = st.sampled_from(["# a comment", "", "[keys]", '"a.b" = "c"', "[[rows]]", 'x = """', '"""', "list = [", "]"])
lines = st.one_of(noise, st.builds(lambda name, value: f"{name} = {literal(value)} # said", names, values))


@given(text=st.lists(lines, max_size=8).map("\n".join), key=names, value=values)
def test_only_the_key_changes_or_nothing_does(text: str, key: str, value: bool | int | str) -> None:
    try:
        after = set_key(text, key, value)
    except NotEditable:
        return
    wanted = {**tomllib.loads(text), key: value}
    assert tomllib.loads(after) == wanted
    assert [line for line in text.split("\n") if line.startswith("#")] == [
        line for line in after.split("\n") if line.startswith("#")
    ]
