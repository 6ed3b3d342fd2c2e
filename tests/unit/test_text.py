"""Foreign text can show itself, and do nothing else."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol.text import last_segment, safe_block, safe_text

HARMFUL_CATEGORIES = {"Cc", "Cs"}
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_acts_survives(text: str) -> None:
    for cleaned, allowed in ((safe_text(text), set()), (safe_block(text), {"\n"})):
        acting = {c for c in cleaned if unicodedata.category(c) in HARMFUL_CATEGORIES or c in BIDI} - allowed
        assert not acting
        cleaned.encode("utf-8")


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\ufeff")))
def test_innocent_text_is_untouched(text: str) -> None:
    assert safe_text(text) == text


def test_escapes_become_visible() -> None:
    assert safe_text("a\x1b]52;c;eA==\x07b") == "a␛]52;c;eA==␇b"
    assert safe_text("\x9b31m\u202eabc\u2066") == "\\x9b31m\\u202eabc\\u2066".replace("\\x9b", "\\u009b")
    assert safe_text("one\ntwo\tthree\r") == "one↵two    three␍"
    assert safe_block("one\r\ntwo") == "one\ntwo"
    assert safe_text("\U000e0041tag\ud800") == "\\U000e0041tag\ufffd"


def test_square_brackets_stay_literal() -> None:
    for text in ("[/INST]", "[@click=app.quit]x[/]", "[bold]"):
        assert safe_text(text) == text


def test_long_text_is_cut_and_says_so() -> None:
    assert safe_text("x" * 50, limit=10) == "x" * 10 + "…"


def test_progress_bars_keep_their_last_state() -> None:
    assert last_segment(" 10%\r 50%\r100%\n") == "100%"
    assert last_segment("plain\n") == "plain"
    assert last_segment("\r\n") == ""
