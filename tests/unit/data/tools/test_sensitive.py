"""Counts of secrets and personal data: what is counted, what only looks like it, and where."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.data.tools.sensitive import KINDS, SensitiveRows, count_sensitive


def drawn(length: int, letters: str = string.ascii_letters + string.digits, seed: int = 1) -> str:
    """A token that can't be anybody's: drawn here, and put together so that no scanner takes this file for a leak."""
    return "".join(random.Random(seed).choices(letters, k=length))


def _web(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


UPPER32 = string.ascii_uppercase + "234567"
HITS: dict[str, list[str]] = {
    "email": ["jo.doe+x@mail.some-firm.co.uk", "ANNA@FIRMA.DE", "x_1@a.io", "mailto:o'neil@firm.com?subject=hi"],
    "phone": ["+49 30 901820", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671", "1-415-555-2671",
              "+442071838750", "415.555.2671", "+33 1 42 68 53 00"],
    "card": ["4111 1111 1111 1111", "4111111111111111", "5500-0055-5555-5559", "3782 822463 10005", "30569309025904"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "FR14 2004 1010 0505 0001 3M02 606",
             "NO93 8601 1117 947"],
    "ssn": ["536-22-8726", "SSN: 219-09-9999."],
    "ip": ["81.2.69.142", "http://216.58.214.206/x", "[185.199.108.153]:443", "from 203.12.99.17,"],
    "url_password": ["https://bob:hunter22@git.firm.com/x", "postgres://app:s3cr3t@db:5432/x"],
    "private_key": ["-----BEGIN " + "PRIVATE KEY-----", "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
                    "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----"],
    "jwt": [".".join((_web('{"alg":"HS256"}'), _web('{"sub":"1234567890"}'), drawn(43)))],
    "aws_key": ["AK" + "IA" + drawn(16, UPPER32), "AS" + "IA" + drawn(16, UPPER32, 2)],
    "github_token": ["gh" + "p_" + drawn(36), "github" + "_pat_" + drawn(22) + "_" + drawn(59)],
    "gitlab_token": ["gl" + "pat-" + drawn(20)],
    "huggingface_token": ["hf" + "_" + drawn(34)],
    "openai_key": ["sk" + "-" + drawn(48), "sk" + "-proj-" + drawn(64)],
    "anthropic_key": ["sk" + "-ant-api03-" + drawn(90)],
    "google_key": ["AI" + "za" + drawn(35)],
    "slack_token": ["xox" + "b-123456789012-123456789012-" + drawn(24)],
    "stripe_key": ["sk" + "_live_" + drawn(24), "rk" + "_test_" + drawn(24)],
}  # fmt: skip

MISSES = [
    # numbers, dates, versions
    "1700000000", "1700000000000", "1700000000000000000", "2024-01-01T12:34:56.789012+02:00", "2024-01-01 12:34:56",
    "20240101123456", "12345678901234567890", "3.141592653589793238", "0.4242424242424242", "+1.4142135623731",
    "+9.70862251047306323952e+15", "np.array(['+1980-02-29 01:02:03'])", "1+12345678901", "123-45-67890",
    "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "911 943 975 1007", "pp. 259-264 1970",
    "100-200-3000", "415-555-26711", "4111 1111 1111 1112", "4111111111111112", "1234567812345670",
    "DE89 3704 0044 0532 0130 01", "XX89 3704 0044 0532 0130 00", "COVID19 2020 2021 2022 2023 2024",
    # addresses that are versions, private, reserved or sections
    "v1.2.3.4", "1.2.3.4", "version 110.22.33.44", "Chrome/120.0.6099.130", "Mozilla/120.120.120.120", "192.168.100.200",
    "10.100.200.300", "127.0.0.1", "172.16.254.100", "255.255.255.255", "224.100.100.100", "OID 1.3.101.110.1",
    "1.3.101.110", "203.0.113.195", "81.2.69.142.7", "999.888.777.666", "120.120.120.0",
    # code, names, identifiers
    "550e8400-e29b-41d4-a716-446655440000", "00000000-1111-2222-3333-444444444444", "#ff00aa", "@app.route('/x')",
    "x = y @ z.T", "icon@2x.png", "react@18.2.0", "package@latest", "git@github.com:org/repo.git", "user@example.com",
    "me@sub.example.org", "user@host", "@user", "a@b", "foo@bar.js", "jo@.com", ".@firm.com", "obj@attribute.value",
    "https://user:password@firm.com", "https://user:${TOKEN}@firm.com", "https://u:<pw>@firm.com", "postgres://db:db@db/x",
    "https://abc:xyz@example.com", "https://firm.com:8080/@user", "https://user@firm/",
    # beginnings and placeholders of secrets
    "hf_model_name", "hf_" + "x" * 34, "sk-learn", "task-" + "a1" * 24, "sk-" + "x" * 48, "sk-ant-" + "x" * 30,
    "gh" + "p_" + "a1" * 18, "AKIAIOSFODNN7" + "EXAMPLE", "AKIA", "AIza", "eyJ", "eyJhbGciOiJIUzI1NiJ9.abc.def",
    "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "xoxb-", "desk_live_" + drawn(24), "x" + "hf_" + drawn(34),
    "hf_" + drawn(80),
]  # fmt: skip


def lines(*texts: str, ascii_only: bool = False) -> bytes:
    rows = [json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_only) for text in texts]
    return "".join(f"{row}\n" for row in rows).encode()


def test_every_kind_has_a_meaning_and_an_example() -> None:
    assert KINDS.keys() == HITS.keys()


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in HITS.items() for text in texts])
def test_what_counts(kind: str, text: str) -> None:
    for frame in ("{}", "Write to {} today", "first\n{}\nlast", "\u00e9{}", "\u53f7{}\u3002", "({})"):
        for ascii_only in (False, True):
            assert count_sensitive(lines(frame.format(text), ascii_only=ascii_only)) == {kind: 1}, (frame, ascii_only)


@pytest.mark.parametrize("text", MISSES)
def test_what_only_looks_like_it(text: str) -> None:
    for frame in ("{}", "a\n{}\nb", "see {}, please"):
        assert count_sensitive(lines(frame.format(text))) == {}, frame


@pytest.mark.parametrize("text", [texts[0] for texts in HITS.values()])
def test_a_buffer_may_begin_and_end_anywhere(text: str) -> None:
    raw = text.encode()
    assert count_sensitive(raw).total() == count_sensitive(b"\n" + raw).total() == count_sensitive(raw + b"\n").total()
    for cut in range(len(raw)):
        count_sensitive(raw[cut:])
        count_sensitive(raw[:cut])


def test_lines_are_counted_once_and_the_first_is_named() -> None:
    first = lines("nothing", "a@firm.com and b@firm.com, c@firm.com", "+49 30 901820 d@firm.com")
    second = lines("e@firm.com", "81.2.69.142")
    found = SensitiveRows()
    found.add(first)
    found.add(second, len(first))
    assert found.rows == {"email": 3, "phone": 1, "ip": 1}
    assert found.first == {
        "email": first.index(b"\n") + 1,
        "phone": first.index(b"\n", first.index(b"a@firm")) + 1,
        "ip": len(first) + second.index(b"\n") + 1,
    }
    assert list(found.to_dict()) == ["email", "phone", "ip"]
    assert "firm" not in repr(found)


@given(st.lists(st.sampled_from([text for texts in HITS.values() for text in texts] + MISSES), max_size=8), st.data())
@settings(max_examples=60)
def test_pieces_give_the_same_as_the_whole(texts: list[str], data: st.DataObject) -> None:
    rows = lines(*texts)
    borders = [place + 1 for place, byte in enumerate(rows) if byte == 10]
    cut = data.draw(st.sampled_from([0, *borders]))
    pieces = SensitiveRows()
    pieces.add(rows[:cut])
    pieces.add(rows[cut:], cut)
    whole = SensitiveRows()
    whole.add(rows)
    assert pieces == whole
    assert whole.rows == sum((count_sensitive(lines(text)) for text in texts), Counter())


def test_hits_on_the_border_of_blocks() -> None:
    token = HITS["huggingface_token"][0]
    for before in range((1 << 18) - 40, (1 << 18) + 4):
        assert count_sensitive(b" " * before + token.encode()) == {"huggingface_token": 1}


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes(raw: bytes) -> None:
    assert all(count > 0 for count in count_sensitive(raw).values())


@given(st.text(alphabet="0123456789-+.() @:/", max_size=200))
@settings(max_examples=300)
def test_any_digits(text: str) -> None:
    count_sensitive(text.encode())


@pytest.mark.parametrize(
    "piece",
    [b"@", b"a@", b"a@a.", b"_", b"sk-", b"hf_", b"eyJ", b"eyJa.eyJ", b"AKIA", b"-----BEGIN ", b"//a:", b"+1 ", b"1.",
     b"4111 ", b"DE89", b"1", b"12 ", b"://:@"],
)  # fmt: skip
def test_no_text_makes_it_slow(piece: bytes) -> None:
    """A megabyte of nothing but beginnings, in one line."""
    began = time.perf_counter()
    count_sensitive(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - began < 8


def test_slashes_may_be_escaped() -> None:
    assert count_sensitive(rb'{"text": "https:\/\/bob:hunter22@git.firm.com"}') == {"url_password": 1}
